import DirectAuthAPI
import Foundation
import SampleModel
import SwiftUI

extension Factor {
    var words: LocalizedStringKey {
        switch self {
        case .otp: "factor_otp"
        case .push: "factor_push"
        case .sms: "factor_sms"
        case .voice: "factor_voice"
        case .email: "factor_email"
        case .passkey: "factor_passkey"
        }
    }

    /// Where its code comes from.
    var codeWords: LocalizedStringKey {
        switch self {
        case .sms: "code_from_sms"
        case .voice: "code_from_voice"
        case .email: "code_from_email"
        default: "code_from_app"
        }
    }
}

extension StorageProblem {
    var words: LocalizedStringKey {
        switch self {
        case .locked: "unavailable_locked"
        case .needsUser, .userCancelled: "unavailable_user"
        default: isTemporary ? "unavailable_temporary" : "unavailable_gone"
        }
    }
}

extension Problem {
    /// What went wrong, and what helps.
    var words: String {
        switch self {
        case .failed(let error): error.words
        case .interrupted: String(localized: "problem_interrupted")
        case .signInAgain: String(localized: "problem_sign_in_again")
        case .ended: String(localized: "problem_ended")
        case .noPasskeys: String(localized: "problem_no_passkeys")
        case .resource(let status?): String(localized: "problem_resource \(status)")
        case .resource: String(localized: "problem_resource_unreachable")
        }
    }
}

extension AuthError {
    /// The remedy in the user's words. The server's own text is not shown: it may say too much, and is in no language of the user's.
    fileprivate var words: String {
        switch remedy {
        case .askAgain: String(localized: "problem_ask_again")
        case .chooseAnother:
            if case .declined = self { String(localized: "problem_declined") } else { String(localized: "problem_choose_another") }
        case .ignore: String(localized: "problem_moment")
        case .startOver:
            if case .expired = self { String(localized: "problem_expired") } else { String(localized: "problem_start_over") }
        case .wait(let until?): String(localized: "problem_wait \(until.formatted(date: .omitted, time: .standard))")
        case .wait: String(localized: "problem_server")
        case .signInAgain: String(localized: "problem_sign_in_again")
        case .openBrowser: String(localized: "problem_browser")
        case .checkConnection:
            if case .network(.captivePortal, _, _) = self {
                String(localized: "problem_portal")
            } else {
                String(localized: "problem_connection")
            }
        case .unlock: String(localized: "problem_unlock")
        // The request's id is what a support desk asks for.
        case .contactSupport: String(localized: "problem_support \(requestID ?? "–")")
        case .fixConfiguration: String(localized: "problem_configuration \(description)")
        }
    }
}

/// `4:59`, or `1:02:03`; a part of a second counts whole.
func countdown(_ left: TimeInterval) -> String {
    let seconds = Int(max(0, left).rounded(.up))
    let pattern: Duration.TimeFormatStyle.Pattern = seconds < 3600 ? .minuteSecond : .hourMinuteSecond
    return Duration.seconds(seconds).formatted(.time(pattern: pattern))
}
