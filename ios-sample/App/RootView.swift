import SampleModel
import SwiftUI

/// The frame of every screen: what went wrong, and the screen.
struct RootView: View {
    let model: AppModel
    @Environment(\.scenePhase) private var phase

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                if let problem = model.problem {
                    Text(problem.words)
                        .frame(maxWidth: .infinity, alignment: .leading)
                        .padding(12)
                        .background(.red.opacity(0.12), in: .rect(cornerRadius: 12))
                        .onAppear { AccessibilityNotification.Announcement(problem.words).post() }
                }
                screen
                if model.isBusy { ProgressView().frame(maxWidth: .infinity) }
            }
            .padding(24)
            .frame(maxWidth: 520)
            .frame(maxWidth: .infinity)
        }
        // What is on the screen is nobody's business in the app switcher.
        .overlay { if phase != .active { Color(.systemBackground).ignoresSafeArea() } }
    }

    @ViewBuilder
    private var screen: some View {
        switch model.screen {
        case .starting: Title("starting")
        case .signIn(let screen): SignInView(model: model, screen: screen)
        case .choose(let factors): ChooseView(model: model, factors: factors)
        case .code(let screen): CodeView(model: model, screen: screen)
        case .push(let number, let expiresAt, let canChooseAnother):
            PushView(model: model, number: number, expiresAt: expiresAt, canChooseAnother: canChooseAnother)
        case .passkey(let canChooseAnother): PasskeyView(model: model, canChooseAnother: canChooseAnother)
        case .home(let home): HomeView(model: model, home: home)
        case .accounts(let sessions): AccountsView(model: model, sessions: sessions)
        case .unavailable(let reason): UnavailableView(model: model, reason: reason)
        }
    }
}

struct Title: View {
    let words: LocalizedStringKey

    init(_ words: LocalizedStringKey) { self.words = words }

    var body: some View {
        Text(words).font(.largeTitle.bold()).accessibilityAddTraits(.isHeader)
    }
}

/// One thing to do. The most likely one of a screen is prominent.
struct Action: View {
    let words: LocalizedStringKey
    var isMain = false
    let act: () -> Void

    var body: some View {
        if isMain {
            Button(action: act) { label }.buttonStyle(.borderedProminent).controlSize(.large)
        } else {
            Button(action: act) { label }.buttonStyle(.bordered).controlSize(.large)
        }
    }

    private var label: some View { Text(words).frame(maxWidth: .infinity) }
}
