import Foundation

/// A value of which everybody who listens gets the newest: that of now first, and none twice in a row.
package final class Newest<Value: Sendable & Equatable>: @unchecked Sendable {
    private let lock = NSLock()
    private var current: Value
    private var isOver = false
    private var listeners: [UUID: AsyncStream<Value>.Continuation] = [:]

    package init(_ value: Value) {
        current = value
    }

    package var value: Value {
        lock.withLock { current }
    }

    /// Shows what is made of the one of now, if anything. What is made first is shown first.
    package func show(_ make: (Value) -> Value?) {
        lock.withLock {
            guard let value = make(current), value != current else { return }
            current = value
            for listener in listeners.values { listener.yield(value) }
        }
    }

    package func show(_ value: Value) {
        show { _ in value }
    }

    package var stream: AsyncStream<Value> {
        let id = UUID()
        let (stream, listener) = AsyncStream.makeStream(of: Value.self, bufferingPolicy: .bufferingNewest(1))
        listener.onTermination = { [weak self] _ in
            guard let self else { return }
            _ = lock.withLock { listeners.removeValue(forKey: id) }
        }
        let ended = lock.withLock {
            listener.yield(current)
            if !isOver { listeners[id] = listener }
            return isOver
        }
        if ended { listener.finish() }
        return stream
    }

    /// Nothing comes any more.
    package func finish() {
        let ended = lock.withLock {
            isOver = true
            defer { listeners = [:] }
            return listeners
        }
        for listener in ended.values { listener.finish() }
    }
}
