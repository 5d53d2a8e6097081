import Foundation

/// Listens until it is let go of.
public final class AppFollower: @unchecked Sendable {
    private let center: NotificationCenter
    private let tokens: [any NSObjectProtocol]

    init(_ center: NotificationCenter, _ names: [Notification.Name], _ heard: @escaping @Sendable () -> Void) {
        self.center = center
        tokens = names.map { center.addObserver(forName: $0, object: nil, queue: nil) { _ in heard() } }
    }

    deinit {
        for token in tokens { center.removeObserver(token) }
    }
}
