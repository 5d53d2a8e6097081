import DirectAuthAPI
import SampleModel
import SwiftUI

/// Somebody is signed in.
struct HomeView: View {
    let model: AppModel
    let home: HomeScreen

    var body: some View {
        Text("hello \(home.name)").font(.largeTitle.bold()).accessibilityAddTraits(.isHeader)
        Text("signed_in_as \(home.username)").foregroundStyle(.secondary)
        TimelineView(.periodic(from: .now, by: 1)) { now in
            let left = home.expiresAt.timeIntervalSince(now.date)
            Text(left > 0 ? "token_expires_in \(countdown(left))" : "token_expired")
        }
        if !home.isPersisted { Text("not_persisted").foregroundStyle(.red) }
        Group {
            Action(words: "ask_resource", isMain: true, act: model.askResource)
            // The server's text: shown as text.
            if let answer = home.answer { Text(verbatim: answer).font(.footnote.monospaced()).textSelection(.enabled) }
            if home.canRefresh { Action(words: "refresh", act: model.refresh) }
            Action(words: "step_up", act: model.stepUp)
            Action(words: "accounts", act: model.accounts)
            Action(words: "sign_out", act: model.signOut)
        }
        .disabled(model.isBusy)
        Text("claims").font(.subheadline).foregroundStyle(.secondary).accessibilityAddTraits(.isHeader)
        ForEach(home.claims) { claim in
            Text(verbatim: "\(claim.name): \(claim.value)").font(.footnote.monospaced())
        }
        Text("scopes \(home.scopes.joined(separator: ", "))").font(.footnote).foregroundStyle(.secondary)
    }
}

/// Everybody who is signed in.
struct AccountsView: View {
    let model: AppModel
    let sessions: [SessionInfo]

    var body: some View {
        Title("accounts")
        ForEach(sessions) { session in
            Action(words: session.isDefault ? "account_current \(session.username)" : "account \(session.username)") {
                model.switchTo(session.id)
            }
        }
        Action(words: "add_account", act: model.addAccount)
        Action(words: "cancel", act: model.back)
    }
}

/// Whether somebody is signed in cannot be known now, or never any more.
struct UnavailableView: View {
    let model: AppModel
    let reason: StorageProblem

    var body: some View {
        Title("unavailable_title")
        Text(reason.words)
        if reason.isTemporary {
            Action(words: "try_again", isMain: true, act: model.lookAgain)
        } else {
            Action(words: "discard", isMain: true, act: model.discard)
        }
    }
}
