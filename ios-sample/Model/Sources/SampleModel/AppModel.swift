import DirectAuthAPI
import Foundation
import Observation

/// What the app shows, and what it does about what the user does. It lives as long as the process; it has no view in it, so that it
/// runs in a unit test, on Linux too.
///
/// One thing is under way at a time, and ``back()`` gives it up.
@MainActor
@Observable
public final class AppModel {
    /// What is shown.
    public private(set) var screen = Screen.starting
    /// Something is under way; what would start something else is switched off.
    public private(set) var isBusy = false
    /// What went wrong last, until the user does something about it.
    public private(set) var problem: Problem?

    /// The platform's passkeys, as long as there is a window to ask in; nil where apps have none.
    @ObservationIgnored public var passkeys: (any PasskeyCeremony)?

    @ObservationIgnored private let auth: any AuthClient
    @ObservationIgnored private let resource: any Resource
    @ObservationIgnored private var work: Task<Void, Never>?
    @ObservationIgnored private var turns = 0
    @ObservationIgnored private var watching: Task<Void, Never>?
    @ObservationIgnored private var session: (any AuthSession)?
    /// The step that the server is at.
    @ObservationIgnored private var step: SignInStep?
    /// The sign-in of who is signed in already, for a step-up.
    @ObservationIgnored private var steppingUp: (any SignIn)?
    /// Where a typed code goes.
    @ObservationIgnored private var codeTo: (@Sendable (String) async throws -> SignInStep)?

    public init(auth: any AuthClient, resource: any Resource) {
        self.auth = auth
        self.resource = resource
    }

    /// Whether a sign-in would be lost if the process ended now.
    public var isSigningIn: Bool {
        switch screen {
        case .choose, .code, .push, .passkey: true
        default: false
        }
    }

    /// Nothing may take the user's place in the middle of it.
    private var isAsking: Bool {
        if case .signIn(let screen) = screen { isBusy || screen.isStepUp || screen.isAnother } else { isSigningIn }
    }

    /// Shows who is signed in. Only the first call of a process does something.
    ///
    /// - Parameter wasInterrupted: the system ended the app during a sign-in, of which nothing is left.
    public func start(wasInterrupted: Bool) {
        guard watching == nil else { return }
        watching = Task { [weak self, auth] in
            var first: Problem? = wasInterrupted ? .interrupted : nil
            for await state in auth.states {
                guard let self else { return }
                self.show(state, first)
                switch state {
                case .signedIn, .signedOut: first = nil
                default: break
                }
            }
        }
    }

    private func show(_ state: AuthState, _ first: Problem?) {
        switch state {
        case .restoring:
            if session == nil, !isAsking { show(.starting) }
        case .unavailable(let reason):
            if !isAsking { show(.unavailable(reason)) }
        case .signedIn(let session):
            // Also what was complete before the user gave it up.
            if isAsking { self.session = session } else { home(session, problem: first) }
        case .signedOut:
            let ended: Problem? = session == nil ? nil : .ended
            session = nil
            if case .signIn = screen { return }
            if !isAsking { show(.signIn(SignInScreen()), ended ?? first) }
        }
    }

    // MARK: signing in

    /// The user is typing: the server is looked up meanwhile.
    public func isTyping() {
        Task { [auth] in try? await auth.warmUp() }
    }

    public func signIn(_ username: String, password: String) {
        let signIn = auth.signIn(username)
        follow(username) { try await signIn.password(password) }
    }

    /// Without a password.
    public func signIn(_ username: String, by factor: Factor) {
        let signIn = auth.signIn(username)
        if factor == .otp {
            askForCode(signIn, canChooseAnother: false)
        } else {
            follow(username) { try await begin(factor, signIn) }
        }
    }

    /// A passkey that says itself whose it is.
    public func signInWithPasskey() {
        guard passkeys != nil else { return problem = .noPasskeys }
        follow("") { [auth] in try await auth.signInWithPasskey() }
    }

    public func choose(_ factor: Factor) {
        guard case .chooseFactor(let choice) = step else { return }
        if factor == .otp {
            askForCode(choice, canChooseAnother: true)
        } else if factor == .passkey, passkeys == nil {
            problem = .noPasskeys
        } else {
            follow { try await begin(factor, choice) }
        }
    }

    public func submit(_ code: String) {
        guard let codeTo else { return }
        follow { try await codeTo(code) }
    }

    public func resend() {
        switch step {
        case .enterCode(let here): follow { try await here.resend() }
        case .approveOnDevice(let here): resend(here)
        case .usePasskey(let here): follow { try await here.renew() }
        default: break
        }
    }

    /// Another push. If the server gives none, the one that is there goes on waiting for its answer.
    private func resend(_ push: any ApproveOnDevice) {
        giveUp()
        busy { model in
            do {
                let next: SignInStep
                do {
                    next = try await patiently { try await push.resend() }
                } catch let error as AuthError {
                    switch error.remedy {
                    case .wait, .checkConnection: return try await model.show(.approveOnDevice(push), .failed(error))
                    default: throw error
                    }
                }
                try await model.show(next)
            } catch let error as AuthError {
                model.refused(error, nil)
            }
        }
    }

    /// Another way to show who one is.
    public func chooseAnother() {
        guard let choice = step?.otherWay else { return back() }
        giveUp()
        step = .chooseFactor(choice)
        codeTo = nil
        show(.choose(choice.factors))
    }

    /// Gives up what is under way: nothing more is sent.
    public func back() {
        giveUp()
        forgetSignIn()
        if let session { home(session) } else { show(.signIn(SignInScreen())) }
    }

    private func askForCode(_ choice: any FactorChoice, canChooseAnother: Bool) {
        codeTo = { try await choice.otp($0) }
        show(.code(CodeScreen(way: .otp, canResend: false, canChooseAnother: canChooseAnother)))
    }

    /// Does one thing of a sign-in, and shows where it leads.
    private func follow(_ username: String? = nil, _ act: @escaping @Sendable () async throws -> SignInStep) {
        guard !isBusy else { return }
        busy { model in
            do {
                try await model.show(patiently(act))
            } catch let error as AuthError {
                model.refused(error, username)
            }
        }
    }

    private func show(_ next: SignInStep, _ problem: Problem? = nil) async throws {
        try Task.checkCancellation()
        step = next
        codeTo = nil
        switch next {
        case .signedIn(let session):
            forgetSignIn()
            home(session)
        case .chooseFactor(let choice):
            show(.choose(choice.factors))
        case .enterCode(let entry):
            codeTo = { try await entry.submit($0) }
            let canChoose = entry.choice != nil
            show(
                .code(
                    CodeScreen(
                        way: entry.channel, canResend: true, resendAt: entry.resendAt, expiresAt: entry.expiresAt,
                        canChooseAnother: canChoose)))
        case .approveOnDevice(let push):
            show(.push(number: push.number, expiresAt: push.expiresAt, canChooseAnother: push.choice != nil), problem)
            isBusy = false
            try await show(push.approved())
        case .usePasskey(let passkey):
            show(.passkey(canChooseAnother: passkey.choice != nil))
            guard let passkeys else { return self.problem = .noPasskeys }
            // Dismissed or failed on the device, the step stays: the user may try again, or choose another way.
            guard let answer = try? await passkeys.get(requestJSON: passkey.requestJSON) else { return }
            try await show(passkey.answer(answer))
        default:
            back()
        }
    }

    /// After an error the step in hand stays usable; its remedy says whether to ask again, or where else to go.
    private func refused(_ error: AuthError, _ username: String?) {
        guard !Task.isCancelled else { return }
        switch error.remedy {
        case .ignore:
            guard case .busy = error else { return }
        case .unlock:
            break
        case .askAgain, .wait, .checkConnection:
            if let username, case .signIn(var known) = screen {
                known.username = username
                screen = .signIn(known)
            }
        default:
            if error.remedy != .signInAgain, let choice = step?.otherWay, !choice.factors.isEmpty {
                step = .chooseFactor(choice)
                codeTo = nil
                show(.choose(choice.factors))
            } else {
                forgetSignIn()
                if let session { home(session) } else { show(.signIn(SignInScreen(username: username ?? ""))) }
            }
        }
        problem = .failed(error)
    }

    private func forgetSignIn() {
        switch step {
        case .chooseFactor(let here): here.cancel()
        case .enterCode(let here): here.cancel()
        case .approveOnDevice(let here): here.cancel()
        case .usePasskey(let here): here.cancel()
        default: break
        }
        step = nil
        codeTo = nil
    }

    // MARK: signed in

    public func refresh() {
        withSession { _, session in try await session.refresh() }
    }

    /// Asks the protected resource; if it wants more, the user shows more, and may ask again.
    public func askResource() {
        withSession { [resource] model, session in
            switch try await resource.ask(session) {
            case .text(let text): model.home(session, answer: text)
            case .refused(let status): model.problem = .resource(status: status)
            case .signInAgain: model.signInAgain(session)
            case .stepUp(let demand): model.stepUp(session, demand)
            }
        }
    }

    /// The user shows a second factor, whatever the session has shown so far.
    public func stepUp() {
        guard let session, !isBusy else { return }
        stepUp(session, StepUpRequired(acrValues: ["urn:okta:loa:2fa:any"]))
    }

    private func stepUp(_ session: any AuthSession, _ demand: StepUpRequired) {
        steppingUp = session.stepUp(demand)
        show(.signIn(SignInScreen(username: session.username, isStepUp: true)))
    }

    /// The password of who is signed in, for a step-up.
    public func stepUp(password: String) {
        guard let signIn = steppingUp else { return }
        follow { try await signIn.password(password) }
    }

    public func signOut() {
        guard !isBusy else { return }
        let here = session
        busy { model in
            do {
                // It is the user's doing: nobody has to be told that it ended.
                model.session = nil
                try await model.auth.signOut()
                if let next = try await model.auth.restore() {
                    model.home(next)
                } else {
                    model.show(.signIn(SignInScreen()))
                }
            } catch let error as AuthError {
                model.session = model.session ?? here
                model.problem = .failed(error)
            }
        }
    }

    /// Everybody who is signed in.
    public func accounts() {
        withSession { model, _ in try await model.show(.accounts(model.auth.sessions())) }
    }

    public func switchTo(_ id: String) {
        withSession { model, _ in try await model.home(model.auth.setDefault(id: id)) }
    }

    /// One more, beside those who are signed in.
    public func addAccount() {
        guard !isBusy else { return }
        show(.signIn(SignInScreen(isAnother: true)))
    }

    // MARK: the storage

    /// Looks again whether the storage can be read.
    public func lookAgain() {
        auth.notifyForeground()
    }

    /// Gives up what can never be read again, and lets the user sign in.
    public func discard() {
        guard !isBusy else { return }
        busy { model in
            do {
                try await model.auth.discardUnreadable()
                if let next = try await model.auth.restore() {
                    model.home(next)
                } else {
                    model.show(.signIn(SignInScreen()))
                }
            } catch let error as AuthError {
                model.problem = .failed(error)
            }
        }
    }

    private func withSession(_ act: @escaping @MainActor (AppModel, any AuthSession) async throws -> Void) {
        guard let session, !isBusy else { return }
        busy { model in
            do {
                try await act(model, session)
                // A refresh on the way has changed what is known.
                if case .home(let shown) = model.screen, model.session === session, model.problem == nil {
                    model.home(session, answer: shown.answer)
                }
            } catch AuthError.sessionEnded {
                model.problem = .ended
            } catch AuthError.reauthRequired {
                model.signInAgain(session)
            } catch let error as AuthError {
                model.problem = .failed(error)
            } catch is CancellationError {
                return
            } catch {
                model.problem = .resource(status: nil)
            }
        }
    }

    private func signInAgain(_ session: any AuthSession) {
        show(.signIn(SignInScreen(username: session.username)), .signInAgain)
    }

    private func home(_ session: any AuthSession, answer: String? = nil, problem: Problem? = nil) {
        self.session = session
        let claims = session.claims
        var shown = ["sub", "name", "preferred_username", "email", "acr"].compactMap { name in
            claims?.text(name).map { HomeScreen.Claim(name: name, value: $0) }
        }
        let methods = claims?.texts("amr") ?? []
        if !methods.isEmpty { shown.append(HomeScreen.Claim(name: "amr", value: methods.joined(separator: " "))) }
        show(
            .home(
                HomeScreen(
                    name: claims?.text("name") ?? session.username, username: session.username, claims: shown,
                    scopes: session.grantedScopes, expiresAt: session.expiresAt, canRefresh: session.canRefresh,
                    isPersisted: session.isPersisted, answer: answer)),
            problem)
    }

    /// What is done last is what counts: something that was given up changes nothing any more.
    private func busy(_ act: @escaping @MainActor (AppModel) async throws -> Void) {
        turns += 1
        let turn = turns
        isBusy = true
        problem = nil
        work = Task {
            // What is not an error of the library's is a cancellation.
            try? await act(self)
            if turn == turns { isBusy = false }
        }
    }

    private func giveUp() {
        turns += 1
        work?.cancel()
        isBusy = false
    }

    private func show(_ screen: Screen, _ problem: Problem? = nil) {
        self.screen = screen
        self.problem = problem
    }
}

/// What was given up before may still be on its way: then the library is busy for a moment.
private func patiently(_ act: @Sendable () async throws -> SignInStep) async throws -> SignInStep {
    for _ in 0..<50 {
        do {
            return try await act()
        } catch AuthError.busy {
            try await Task.sleep(for: .milliseconds(100))
        }
    }
    return try await act()
}

private func begin(_ factor: Factor, _ choice: any FactorChoice) async throws -> SignInStep {
    switch factor {
    case .push: try await choice.push()
    case .sms: try await choice.sms()
    case .voice: try await choice.voice()
    case .email: try await choice.email()
    case .passkey: try await choice.passkey()
    case .otp: preconditionFailure("a code is typed first")
    }
}

extension SignInStep {
    /// The choice of another factor, if there is one.
    fileprivate var otherWay: (any ChooseFactor)? {
        switch self {
        case .chooseFactor(let here): here
        case .enterCode(let here): here.choice
        case .approveOnDevice(let here): here.choice
        case .usePasskey(let here): here.choice
        default: nil
        }
    }
}
