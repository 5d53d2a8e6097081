import DirectAuth
import Foundation
import SampleModel

/// Which server the app signs in at. Change this to your own tenant.
struct Tenant {
    var issuer: String
    var clientID: String
    var resource: URL
    /// The certificate authority of the emulator; nil for a real server.
    var authority: String?

    static var current: Tenant {
        #if DEBUG
            // The emulator on the developer's desk; the simulator shares the Mac's network. Its authority is written there by
            // `directauth-emulator --ca-out`, and is in debug builds only.
            let file = Bundle.main.url(forResource: "emulator-ca", withExtension: "pem")
            return Tenant(
                issuer: "https://localhost:8443/oauth2/default",
                clientID: "0oaDemoNativeApp",
                resource: URL(string: "https://localhost:8443/api/me")!,
                authority: file.flatMap { try? String(contentsOf: $0, encoding: .utf8) }
            )
        #else
            return Tenant(
                issuer: "https://YOUR-DOMAIN.okta.com/oauth2/default",
                clientID: "YOUR-CLIENT-ID",
                resource: URL(string: "https://YOUR-API.example/me")!,
                authority: nil
            )
        #endif
    }
}

/// The API that the app uses.
struct SessionResource: Resource {
    let url: URL

    func ask(_ session: any AuthSession) async throws -> ResourceAnswer {
        do {
            let (data, response) = try await URLSession.shared.data(for: URLRequest(url: url), authorizedBy: session)
            let status = (response as? HTTPURLResponse)?.statusCode ?? 0
            return status == 200 ? .text(String(decoding: data, as: UTF8.self)) : .refused(status: status)
        } catch let demand as StepUpRequired {
            return .stepUp(demand)
        } catch AuthError.reauthRequired {
            return .signInAgain
        }
    }
}
