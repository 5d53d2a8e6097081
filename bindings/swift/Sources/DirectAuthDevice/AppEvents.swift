#if canImport(UIKit) && !os(watchOS)
    import DirectAuthAPI
    import UIKit

    extension AuthClient {
        /// Tells this client when the app comes to the foreground and when the device is unlocked: what could not be read before is read
        /// then. Until what it gives is let go of.
        public func followApp(_ center: NotificationCenter = .default) -> AppFollower {
            let names = [UIApplication.willEnterForegroundNotification, UIApplication.protectedDataDidBecomeAvailableNotification]
            return AppFollower(center, names) { [weak self] in self?.notifyForeground() }
        }
    }
#endif
