import DirectAuth
import DirectAuthDevice
import SampleModel
import SwiftUI

@main
struct SampleApp: App {
    @State private var model: AppModel
    /// Tells the client when the app comes to the foreground and when the device is unlocked, as long as it is kept.
    private let follower: AppFollower
    /// That a sign-in was under way, and nothing of it: neither what was typed nor what the server gave.
    @AppStorage("signing-in") private var wasSigningIn = false

    /// One client for the life of the process.
    init() {
        let tenant = Tenant.current
        let auth = Self.client(of: tenant)
        follower = auth.followApp()
        model = AppModel(auth: auth, resource: SessionResource(url: tenant.resource))
    }

    var body: some Scene {
        WindowGroup {
            RootView(model: model)
                .task {
                    model.passkeys = SystemPasskeys { Self.window }
                    model.start(wasInterrupted: wasSigningIn)
                    wasSigningIn = false
                }
                .onChange(of: model.isSigningIn) { _, isSigningIn in wasSigningIn = isSigningIn }
        }
    }

    private static func client(of tenant: Tenant) -> DirectAuthClient {
        DirectAuthClient(issuer: tenant.issuer, clientID: tenant.clientID) {
            $0.scopes = ["openid", "profile", "offline_access"]
            $0.accounts = .many
            $0.storage = KeychainStorage()
            // Tokens are bound to a key of the device where the server can do that.
            $0.signingKey = SecureEnclaveSigningKey()
            $0.dpop = .preferred
            if let origin = tenant.resource.origin { $0.resourceOrigins = [origin] }
            if let authority = tenant.authority { $0.trust = .custom(pem: authority) }
        }
    }

    /// What the passkey's sheet is shown over.
    @MainActor
    private static var window: UIWindow {
        let scenes = UIApplication.shared.connectedScenes.compactMap { $0 as? UIWindowScene }
        return scenes.flatMap(\.windows).first { $0.isKeyWindow } ?? UIWindow()
    }
}

extension URL {
    /// `https://api.example:8443`
    fileprivate var origin: String? {
        guard let scheme, let host = host() else { return nil }
        return "\(scheme)://\(host)" + (port.map { ":\($0)" } ?? "")
    }
}
