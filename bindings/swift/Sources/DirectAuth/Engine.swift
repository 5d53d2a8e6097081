import DirectAuthAPI
import Dispatch
import Foundation

/// Where clients are built, one after another: never on the caller's thread or actor.
let building = DispatchQueue(label: "org.directauth.building", qos: .userInitiated)

/// A client of the core, which is built when it is first needed, and the state that it is in.
final class Engine: @unchecked Sendable {
    private let build: @Sendable () throws -> CoreClient
    private let lock = NSLock()
    private var building: Task<CoreClient, any Error>?
    private var built: CoreClient?
    private var hasCome = false
    private var waiting: [@Sendable (CoreClient?) -> Void] = []
    private var follower: Task<Void, Never>?
    private let shown = Newest<AuthState>(.restoring)

    init(build: @escaping @Sendable () throws -> CoreClient) {
        self.build = build
    }

    deinit {
        follower?.cancel()
        shown.finish()
    }

    /// The core's client; the first call builds it.
    func core() async throws -> CoreClient {
        try await builder().value
    }

    /// Does this with the client, before anybody gets it; at once if there is one. nil: it cannot be built.
    func whenBuilt(_ work: @escaping @Sendable (CoreClient?) -> Void) {
        let (built, hasCome) = lock.withLock {
            if !self.hasCome { waiting.append(work) }
            return (self.built, self.hasCome)
        }
        if hasCome { work(built) } else { Task.detached { [self] in try? await core() } }
    }

    private func builder() -> Task<CoreClient, any Error> {
        lock.withLock {
            if let building { return building }
            let task = Task.detached { [build, weak self] in
                try await withCheckedThrowingContinuation { continuation in
                    DirectAuth.building.async { [weak self] in
                        let result = Result { try translated(build) }
                        self?.came(try? result.get())
                        continuation.resume(with: result)
                    }
                }
            }
            building = task
            return task
        }
    }

    private func came(_ core: CoreClient?) {
        let waiting = lock.withLock {
            (built, hasCome) = (core, true)
            defer { self.waiting = [] }
            return self.waiting
        }
        for work in waiting { work(core) }
    }

    /// At once if there is a client; one that cannot be built says so to whoever calls it.
    func notifyForeground() {
        if let built = lock.withLock({ built }) {
            try? built.notifyForeground()
        } else {
            Task.detached { [self] in try? await core().notifyForeground() }
        }
    }

    // --- the state

    var state: AuthState {
        follow()
        return shown.value
    }

    var states: AsyncStream<AuthState> {
        follow()
        return shown.stream
    }

    private func follow() {
        lock.withLock {
            guard follower == nil else { return }
            let builder = Task.detached { [weak self] in try await self?.core() }
            follower = Task.detached { [weak self] in
                let core: CoreClient?
                do {
                    core = try await builder.value
                } catch {
                    // A client that cannot be built says so to whoever calls it; nobody is signed in.
                    self?.shown.show(.signedOut)
                    return
                }
                guard let states = try? core?.states() else { return }
                // A defect of the library ends the stream; what a call leads to is still shown after it.
                while (try? await states.next()) != nil {
                    guard let self else { return }
                    self.look()
                }
            }
        }
    }

    /// Shows the newest state, if anybody wants to see it: what a call has led to is shown before the call returns.
    func look() {
        let core = lock.withLock { follower == nil ? nil : built }
        guard let core else { return }
        shown.show { [weak self] _ in
            guard let state = try? core.state() else { return nil }
            return AuthState(state, Looking(self))
        }
    }
}

extension AuthState {
    init(_ core: CoreState, _ looking: Looking) {
        self =
            switch core {
            case .restoring: .restoring
            case .signedOut: .signedOut
            case .signedIn(let session): .signedIn(SessionOfCore(session, looking))
            case .unavailable(let reason, _): .unavailable(StorageProblem(reason))
            }
    }
}

/// What a step or session knows of its client: to show the state after a call. It does not keep the client.
struct Looking: Sendable {
    private weak var engine: Engine?

    init(_ engine: Engine?) {
        self.engine = engine
    }

    /// One call of the core, and then the state that it led to.
    func call<T: Sendable>(_ work: @Sendable () async throws -> T) async throws -> T {
        defer { engine?.look() }
        try Task.checkCancellation()
        return try await translated(work)
    }

    /// The same for what must not be had by who was cancelled meanwhile: it is let go of at once.
    func keeping<T: Sendable>(_ work: @Sendable () async throws -> T) async throws -> T {
        try await call {
            let came = try await work()
            try Task.checkCancellation()
            return came
        }
    }

    func step(_ work: @Sendable () async throws -> CoreStep) async throws -> SignInStep {
        SignInStep(try await keeping(work), self)
    }
}
