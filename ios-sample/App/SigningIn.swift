import DirectAuthAPI
import SampleModel
import SwiftUI

/// Who signs in, and by what first; also for one more account, and for a step-up.
struct SignInView: View {
    let model: AppModel
    let screen: SignInScreen
    @State private var username = ""
    @State private var password = ""
    @FocusState private var isTyping: Bool

    private let first: [Factor] = [.otp, .push, .sms, .voice, .email]

    var body: some View {
        Title(screen.isStepUp ? "sign_in_again" : screen.isAnother ? "add_account" : "sign_in")
        TextField("username", text: $username)
            .textContentType(.username)
            .keyboardType(.emailAddress)
            .textInputAutocapitalization(.never)
            .autocorrectionDisabled()
            .textFieldStyle(.roundedBorder)
            .disabled(screen.isStepUp)
            .focused($isTyping)
            .onChange(of: isTyping) { _, isTyping in if isTyping { model.isTyping() } }
            .onAppear { if username.isEmpty { username = screen.username } }
        SecureField("password", text: $password)
            .textContentType(.password)
            .textFieldStyle(.roundedBorder)
            .onSubmit(go)
        Action(words: "sign_in", isMain: true, act: go).disabled(model.isBusy)
        if !screen.isStepUp {
            Action(words: "with_passkey", act: model.signInWithPasskey).disabled(model.isBusy)
            Text("without_password").font(.subheadline).foregroundStyle(.secondary).accessibilityAddTraits(.isHeader)
            ForEach(first, id: \.self) { factor in
                Action(words: factor.words) { model.signIn(username, by: factor) }.disabled(model.isBusy)
            }
        }
        if screen.isStepUp || screen.isAnother || model.isBusy { Action(words: "cancel", act: model.back) }
    }

    private func go() {
        // It goes to the library, and is here no more.
        let typed = password
        password = ""
        if screen.isStepUp { model.stepUp(password: typed) } else { model.signIn(username, password: typed) }
    }
}

/// One more factor.
struct ChooseView: View {
    let model: AppModel
    let factors: [Factor]

    var body: some View {
        Title("one_more")
        Text("choose_factor")
        ForEach(factors, id: \.self) { factor in
            Action(words: factor.words) { model.choose(factor) }.disabled(model.isBusy)
        }
        Action(words: "cancel", act: model.back)
    }
}

/// A code that was sent, or that an authenticator app shows.
struct CodeView: View {
    let model: AppModel
    let screen: CodeScreen
    @State private var code = ""

    var body: some View {
        Title("one_more")
        Text(screen.way.codeWords)
        TextField("code", text: $code)
            .textContentType(.oneTimeCode)
            .keyboardType(.numberPad)
            .font(.title.monospaced())
            .textFieldStyle(.roundedBorder)
            .onSubmit(go)
        if let expiresAt = screen.expiresAt { Expiry(at: expiresAt) }
        Action(words: "go_on", isMain: true, act: go).disabled(model.isBusy)
        if screen.canResend {
            TimelineView(.periodic(from: .now, by: 1)) { now in
                let wait = screen.resendAt.map { $0.timeIntervalSince(now.date) } ?? 0
                Action(words: wait > 0 ? "resend_in \(countdown(wait))" : "resend", act: model.resend)
                    .disabled(wait > 0 || model.isBusy)
            }
        }
        if screen.canChooseAnother { Action(words: "another_way", act: model.chooseAnother) }
        Action(words: "cancel", act: model.back)
    }

    private func go() {
        let typed = code
        code = ""
        model.submit(typed)
    }
}

/// A push waits on the user's device.
struct PushView: View {
    let model: AppModel
    let number: String?
    let expiresAt: Date
    let canChooseAnother: Bool

    var body: some View {
        Title("push_title")
        Text(number == nil ? "push_approve" : "push_number")
        if let number {
            Text(number)
                .font(.system(size: 88, weight: .bold, design: .monospaced))
                .foregroundStyle(.tint)
                .frame(maxWidth: .infinity)
                .padding()
        }
        Expiry(at: expiresAt)
        Action(words: "resend", act: model.resend)
        if canChooseAnother { Action(words: "another_way", act: model.chooseAnother) }
        Action(words: "cancel", act: model.back)
    }
}

/// The platform asks for a passkey.
struct PasskeyView: View {
    let model: AppModel
    let canChooseAnother: Bool

    var body: some View {
        Title("passkey_title")
        Text("passkey_text")
        Action(words: "try_again", isMain: true, act: model.resend).disabled(model.isBusy)
        if canChooseAnother { Action(words: "another_way", act: model.chooseAnother) }
        Action(words: "cancel", act: model.back)
    }
}

/// How long something is valid.
struct Expiry: View {
    let at: Date

    var body: some View {
        TimelineView(.periodic(from: .now, by: 1)) { now in
            let left = at.timeIntervalSince(now.date)
            Text(left > 0 ? "expires_in \(countdown(left))" : "expired").font(.subheadline).foregroundStyle(.secondary)
        }
    }
}
