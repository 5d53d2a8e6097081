// The core's steps as the app sees them.

import DirectAuthAPI
import Foundation

extension SignInStep {
    init(_ core: CoreStep, _ looking: Looking) {
        self =
            switch core {
            case .signedIn(let session): .signedIn(SessionOfCore(session, looking))
            case .chooseFactor(let step): .chooseFactor(ChooseFactorOfCore(step, looking))
            case .approveOnDevice(let step): .approveOnDevice(ApproveOnDeviceOfCore(step, looking))
            case .enterCode(let step): .enterCode(EnterCodeOfCore(step, looking))
            case .usePasskey(let step): .usePasskey(UsePasskeyOfCore(step, looking))
            case .resetPassword(let step): .resetPassword(ResetPasswordOfCore(step, looking))
            case .passwordChanged: .passwordChanged
            case .unsupported(let what): .unsupported(what: what)
            }
    }
}

/// Made by the first call, since the core's client is not built on the caller's thread; then always the same.
private actor Later<Made: Sendable> {
    private let make: @Sendable () async throws -> Made
    private var making: Task<Made, any Error>?

    init(_ make: @escaping @Sendable () async throws -> Made) {
        self.make = make
    }

    func get() async throws -> Made {
        let making = self.making ?? Task { [make] in try await make() }
        self.making = making
        return try await making.value
    }
}

final class SignInOfCore: SignIn, Discreet {
    private let looking: Looking
    private let core: Later<CoreSignIn>

    init(_ looking: Looking, make: @escaping @Sendable () async throws -> CoreSignIn) {
        self.looking = looking
        core = Later(make)
    }

    func password(_ password: String) async throws -> SignInStep {
        try await looking.step { [core] in try await core.get().password(password: password) }
    }

    func otp(_ code: String) async throws -> SignInStep {
        try await looking.step { [core] in try await core.get().otp(code: code) }
    }

    func push() async throws -> SignInStep { try await looking.step { [core] in try await core.get().push() } }

    func sms() async throws -> SignInStep { try await looking.step { [core] in try await core.get().sms() } }

    func voice() async throws -> SignInStep { try await looking.step { [core] in try await core.get().voice() } }

    func email() async throws -> SignInStep { try await looking.step { [core] in try await core.get().email() } }

    func passkey() async throws -> SignInStep { try await looking.step { [core] in try await core.get().passkey() } }

    var description: String { "SignIn" }
}

final class RecoveryOfCore: Recovery, Discreet {
    private let looking: Looking
    private let core: Later<CoreRecovery>

    init(_ looking: Looking, make: @escaping @Sendable () async throws -> CoreRecovery) {
        self.looking = looking
        core = Later(make)
    }

    func otp(_ code: String) async throws -> SignInStep {
        try await looking.step { [core] in try await core.get().otp(code: code) }
    }

    func push() async throws -> SignInStep { try await looking.step { [core] in try await core.get().push() } }

    func sms() async throws -> SignInStep { try await looking.step { [core] in try await core.get().sms() } }

    func voice() async throws -> SignInStep { try await looking.step { [core] in try await core.get().voice() } }

    func email() async throws -> SignInStep { try await looking.step { [core] in try await core.get().email() } }

    func passkey() async throws -> SignInStep { try await looking.step { [core] in try await core.get().passkey() } }

    var description: String { "Recovery" }
}

private final class ChooseFactorOfCore: ChooseFactor, Discreet {
    private let core: CoreChooseFactor
    private let looking: Looking

    init(_ core: CoreChooseFactor, _ looking: Looking) {
        self.core = core
        self.looking = looking
    }

    var factors: [Factor] { core.factors().map(Factor.init) }

    func otp(_ code: String) async throws -> SignInStep { try await looking.step { [core] in try await core.otp(code: code) } }

    func push() async throws -> SignInStep { try await looking.step { [core] in try await core.push() } }

    func sms() async throws -> SignInStep { try await looking.step { [core] in try await core.sms() } }

    func voice() async throws -> SignInStep { try await looking.step { [core] in try await core.voice() } }

    func email() async throws -> SignInStep { try await looking.step { [core] in try await core.email() } }

    func passkey() async throws -> SignInStep { try await looking.step { [core] in try await core.passkey() } }

    func cancel() { try? core.cancel() }

    var description: String { "ChooseFactor" }
}

private final class ApproveOnDeviceOfCore: ApproveOnDevice, Discreet {
    private let core: CoreApproveOnDevice
    private let looking: Looking

    init(_ core: CoreApproveOnDevice, _ looking: Looking) {
        self.core = core
        self.looking = looking
    }

    var number: String? { core.number() }
    var expiresAt: Date { core.expiresAt() }
    var choice: (any ChooseFactor)? { core.choice().map { ChooseFactorOfCore($0, looking) } }

    func approved() async throws -> SignInStep { try await looking.step { [core] in try await core.approved() } }

    func resend() async throws -> SignInStep { try await looking.step { [core] in try await core.resend() } }

    func cancel() { try? core.cancel() }

    var description: String { "ApproveOnDevice" }
}

private final class EnterCodeOfCore: EnterCode, Discreet {
    private let core: CoreEnterCode
    private let looking: Looking

    init(_ core: CoreEnterCode, _ looking: Looking) {
        self.core = core
        self.looking = looking
    }

    var channel: Factor { Factor(core.channel()) }
    var expiresAt: Date { core.expiresAt() }
    var resendAt: Date { core.resendAt() }
    var attemptsLeft: Int { Int(core.attemptsLeft()) }
    var choice: (any ChooseFactor)? { core.choice().map { ChooseFactorOfCore($0, looking) } }

    func submit(_ code: String) async throws -> SignInStep {
        try await looking.step { [core] in try await core.submit(code: code) }
    }

    func resend() async throws -> SignInStep { try await looking.step { [core] in try await core.resend() } }

    func cancel() { try? core.cancel() }

    var description: String { "EnterCode" }
}

private final class UsePasskeyOfCore: UsePasskey, Discreet {
    private let core: CoreUsePasskey
    private let looking: Looking

    init(_ core: CoreUsePasskey, _ looking: Looking) {
        self.core = core
        self.looking = looking
    }

    var requestJSON: String { core.requestJson() }
    var enrolled: [EnrolledPasskey] { core.enrolled().map(EnrolledPasskey.init) }
    var expiresAt: Date { core.expiresAt() }
    var choice: (any ChooseFactor)? { core.choice().map { ChooseFactorOfCore($0, looking) } }

    func answer(_ responseJSON: String) async throws -> SignInStep {
        try await looking.step { [core] in try await core.answer(responseJson: responseJSON) }
    }

    func renew() async throws -> SignInStep { try await looking.step { [core] in try await core.renew() } }

    func cancel() { try? core.cancel() }

    var description: String { "UsePasskey" }
}

private final class ResetPasswordOfCore: ResetPassword, Discreet {
    private let core: CoreResetPassword
    private let looking: Looking

    init(_ core: CoreResetPassword, _ looking: Looking) {
        self.core = core
        self.looking = looking
    }

    var expiresAt: Date { core.expiresAt() }

    func set(_ newPassword: String) async throws -> SignInStep {
        try await looking.step { [core] in try await core.set(newPassword: newPassword) }
    }

    func cancel() { try? core.cancel() }

    var description: String { "ResetPassword" }
}
