import DirectAuth

/// What a call gives.
enum Outcome {
    case done
    case step(SignInStep)
    /// How the session was come by.
    case session(String, any AuthSession)
    case token(String)
    case signedOut([SignOutResult])
    case value(String)
    case failure(AuthError)

    var word: String {
        switch self {
        case .done, .token: "Done"
        case .step(let step): step.word
        case .session(let word, _), .value(let word): word
        case .signedOut(let results):
            results.isEmpty ? "None" : results.map { wordOf($0.server) }.joined(separator: ", ")
        case .failure(let error): wordOf(error)
        }
    }
}

extension SignInStep {
    var word: String {
        switch self {
        case .signedIn: "SignedIn"
        case .chooseFactor: "ChooseFactor"
        case .approveOnDevice: "ApproveOnDevice"
        case .enterCode: "EnterCode"
        case .usePasskey: "UsePasskey"
        case .resetPassword: "ResetPassword"
        case .passwordChanged: "PasswordChanged"
        case .unsupported: "UnsupportedStep"
        }
    }
}

/// The case of an enum as vectors write it: `signedOut` is `SignedOut`.
func wordOf(_ value: Any) -> String {
    let label = Mirror(reflecting: value).children.first?.label ?? String(describing: value)
    let word = label.prefix(1).uppercased() + label.dropFirst()
    return word == "SecondFactorOTP" ? "SecondFactorOtp" : word
}

func wordOf(_ advice: Advice) -> String {
    switch advice {
    case .proceed: "Proceed"
    case .retry: "Retry"
    case .signInAgain: "SignInAgain"
    case .stepUp(let demand):
        "StepUp " + demand.acrValues.joined(separator: " ") + (demand.maxAge.map { ", \(Int($0)) s" } ?? "")
    }
}
