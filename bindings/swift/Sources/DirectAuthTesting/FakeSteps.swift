import DirectAuthAPI
import Foundation

/// One sign-in: what its steps share.
final class FakeTransaction: @unchecked Sendable {
    private let auth: FakeDirectAuth
    private let username: String
    private let lock = NSLock()
    private var isOver = false
    private var hasEnded = false
    private var wrongCodes = 0
    private var wrongOTPs = 0
    private var latest: FakeChooseFactor?

    init(_ auth: FakeDirectAuth, _ username: String) {
        self.auth = auth
        self.username = username
    }

    var isCancelled: Bool { lock.withLock { isOver } }

    /// Whether it has led to its end, after which no step of it does anything.
    var isFinished: Bool { lock.withLock { hasEnded } }

    /// How many codes that were sent to the user, or of an authenticator app, may still be wrong: for all steps together.
    func attemptsLeft(of factor: Factor) -> Int {
        lock.withLock { 5 - (factor == .otp ? wrongOTPs : wrongCodes) }
    }

    /// Counts a wrong code; the fifth is one too many.
    func refused(_ factor: Factor, _ error: AuthError) -> AuthError {
        lock.withLock {
            if factor == .otp { wrongOTPs = min(5, wrongOTPs + 1) } else { wrongCodes = min(5, wrongCodes + 1) }
        }
        return attemptsLeft(of: factor) == 0 ? .tooManyAttempts() : error
    }

    /// The choice that was offered last.
    var choice: FakeChooseFactor? { lock.withLock { latest } }

    func cancel() {
        lock.withLock { isOver = true }
        auth.look()
    }

    func act(_ action: String, code: String? = nil) async throws -> SignInStep {
        try await auth.proceed(action) { isCancelled }
        switch try auth.outcome(of: action, code) {
        case .failure(let error): throw error
        case .step(let kind): return step(kind)
        }
    }

    private func step(_ kind: StepKind) -> SignInStep {
        switch kind {
        case .signedIn:
            lock.withLock { hasEnded = true }
            return .signedIn(auth.signedIn(username))
        case .chooseFactor(let factors):
            let step = FakeChooseFactor(self, factors)
            lock.withLock { latest = step }
            return .chooseFactor(step)
        case .approveOnDevice(let number): return .approveOnDevice(FakeApproveOnDevice(self, number))
        case .enterCode(let channel): return .enterCode(FakeEnterCode(self, channel))
        case .usePasskey: return .usePasskey(FakeUsePasskey(self))
        case .resetPassword: return .resetPassword(FakeResetPassword(self))
        case .passwordChanged:
            lock.withLock { hasEnded = true }
            return .passwordChanged
        case .unsupported: return .unsupported(what: "as the script says")
        }
    }
}

/// The first factor of a sign-in or a recovery; each that is chosen begins another.
final class FakeFirst: SignIn, Recovery {
    private let auth: FakeDirectAuth
    private let verb: String
    private let username: String

    init(_ auth: FakeDirectAuth, verb: String, _ username: String) {
        self.auth = auth
        self.verb = verb
        self.username = username
    }

    func password(_ password: String) async throws -> SignInStep { try await begin("password") }

    func otp(_ code: String) async throws -> SignInStep { try await begin("otp", code) }

    func push() async throws -> SignInStep { try await begin("push") }

    func sms() async throws -> SignInStep { try await begin("sms") }

    func voice() async throws -> SignInStep { try await begin("voice") }

    func email() async throws -> SignInStep { try await begin("email") }

    func passkey() async throws -> SignInStep { try await begin("passkey") }

    private func begin(_ factor: String, _ code: String? = nil) async throws -> SignInStep {
        try await FakeTransaction(auth, username).act("\(verb).\(factor)", code: code)
    }
}

/// A step: it takes one action at a time, and unless it is a choice none after one that succeeded.
class FakeStep: @unchecked Sendable {
    fileprivate let signIn: FakeTransaction
    private let lock = NSLock()
    private let isChoice: Bool
    private var isBusy = false
    private var isSpent = false
    let choice: (any ChooseFactor)?

    fileprivate init(_ signIn: FakeTransaction, isChoice: Bool = false) {
        self.signIn = signIn
        self.isChoice = isChoice
        choice = isChoice ? nil : signIn.choice
    }

    func cancel() {
        signIn.cancel()
    }

    /// Why an action is refused before anything is sent; nil: it is not.
    fileprivate func objection(to action: String) -> AuthError? { nil }

    /// What an action's failure becomes.
    fileprivate func failed(_ action: String, _ error: AuthError) -> AuthError { error }

    /// Nothing but what begins it anew may follow.
    fileprivate func spend() {
        lock.withLock { isSpent = true }
    }

    /// - Parameter anew: for what begins the step anew, spent or not.
    fileprivate func go(_ action: String, code: String? = nil, anew: Bool = false) async throws -> SignInStep {
        let isTaken = lock.withLock {
            if isBusy || !signIn.isCancelled && (isSpent && !anew || signIn.isFinished) { return false }
            isBusy = true
            return true
        }
        guard isTaken else { throw AuthError.busy() }
        defer { lock.withLock { isBusy = false } }
        if !signIn.isCancelled, let objection = objection(to: action) { throw objection }
        do {
            let next = try await signIn.act(action, code: code)
            if !isChoice { spend() }
            return next
        } catch let error as AuthError {
            throw failed(action, error)
        }
    }
}

final class FakeChooseFactor: FakeStep, ChooseFactor, @unchecked Sendable {
    let factors: [Factor]

    init(_ signIn: FakeTransaction, _ factors: [Factor]) {
        self.factors = factors
        super.init(signIn, isChoice: true)
    }

    /// Five wrong codes of an authenticator app end the choice.
    override func objection(to action: String) -> AuthError? { signIn.attemptsLeft(of: .otp) == 0 ? .expired() : nil }

    override func failed(_ action: String, _ error: AuthError) -> AuthError {
        if action == "choose.otp", case .rejected = error { signIn.refused(.otp, error) } else { error }
    }

    func otp(_ code: String) async throws -> SignInStep { try await go("choose.otp", code: code) }

    func push() async throws -> SignInStep { try await go("choose.push") }

    func sms() async throws -> SignInStep { try await go("choose.sms") }

    func voice() async throws -> SignInStep { try await go("choose.voice") }

    func email() async throws -> SignInStep { try await go("choose.email") }

    func passkey() async throws -> SignInStep { try await go("choose.passkey") }
}

private final class FakeApproveOnDevice: FakeStep, ApproveOnDevice, @unchecked Sendable {
    let number: String?
    let expiresAt = Date().addingTimeInterval(300)

    init(_ signIn: FakeTransaction, _ number: String?) {
        self.number = number
        super.init(signIn)
    }

    /// A prompt that was answered, or is over, is not waited for again.
    override func failed(_ action: String, _ error: AuthError) -> AuthError {
        if action == "approved", !error.isRetryable, !error.isCancelled { spend() }
        return error
    }

    func approved() async throws -> SignInStep { try await go("approved") }

    func resend() async throws -> SignInStep { try await go("resend", anew: true) }
}

private final class FakeEnterCode: FakeStep, EnterCode, @unchecked Sendable {
    let channel: Factor
    let expiresAt = Date().addingTimeInterval(300)
    let resendAt = Date().addingTimeInterval(30)

    init(_ signIn: FakeTransaction, _ channel: Factor) {
        self.channel = channel
        super.init(signIn)
    }

    var attemptsLeft: Int { signIn.attemptsLeft(of: channel) }

    override func objection(to action: String) -> AuthError? {
        action == "submit" && attemptsLeft == 0 ? .tooManyAttempts() : nil
    }

    override func failed(_ action: String, _ error: AuthError) -> AuthError {
        guard action == "submit", case .rejected = error else { return error }
        let error = signIn.refused(channel, error)
        if attemptsLeft == 0 { spend() }
        return error
    }

    func submit(_ code: String) async throws -> SignInStep { try await go("submit", code: code) }

    func resend() async throws -> SignInStep { try await go("resend", anew: true) }
}

private final class FakeUsePasskey: FakeStep, UsePasskey, @unchecked Sendable {
    let requestJSON = #"{"challenge":"ZmFrZQ","rpId":"localhost","allowCredentials":[]}"#
    let enrolled: [EnrolledPasskey] = []
    let expiresAt = Date().addingTimeInterval(60)

    init(_ signIn: FakeTransaction) {
        super.init(signIn)
    }

    /// A challenge is answered once, unless that surely was not sent.
    override func failed(_ action: String, _ error: AuthError) -> AuthError {
        switch error {
        case .passkey, .rateLimited, .network(_, maybeSent: false, _), .cancelled: break
        default: if action == "answer" { spend() }
        }
        return error
    }

    func answer(_ responseJSON: String) async throws -> SignInStep { try await go("answer") }

    func renew() async throws -> SignInStep { try await go("renew", anew: true) }
}

private final class FakeResetPassword: FakeStep, ResetPassword, @unchecked Sendable {
    let expiresAt = Date().addingTimeInterval(900)

    init(_ signIn: FakeTransaction) {
        super.init(signIn)
    }

    func set(_ newPassword: String) async throws -> SignInStep { try await go("setPassword") }
}

extension AuthError {
    fileprivate var isCancelled: Bool { if case .cancelled = self { true } else { false } }
}

extension FakeTransaction: Discreet {}

extension FakeFirst: Discreet {}

extension FakeStep: Discreet {}
