import Foundation

/// What a request for a passkey says (`PublicKeyCredentialRequestOptionsJSON`, WebAuthn Level 3 §5.1).
struct PasskeyRequest {
    let relyingParty: String
    let challenge: Data
    let allowed: [Data]
    let userVerification: String

    /// - Throws: `DecodingError` if it is none; the library makes no such request.
    init(json: String) throws {
        let options = try JSONDecoder().decode(Options.self, from: Data(json.utf8))
        guard let relyingParty = options.rpId else { throw Self.wrong("rpId") }
        self.relyingParty = relyingParty
        challenge = try Self.bytes(options.challenge, "challenge")
        allowed = try (options.allowCredentials ?? []).map { try Self.bytes($0.id, "id") }
        userVerification = options.userVerification ?? "preferred"
    }

    private struct Options: Decodable {
        struct Credential: Decodable {
            let id: String
        }

        let rpId: String?
        let challenge: String
        let allowCredentials: [Credential]?
        let userVerification: String?
    }

    private static func bytes(_ text: String, _ name: String) throws -> Data {
        guard let data = Data(base64URL: text), !data.isEmpty else { throw wrong(name) }
        return data
    }

    private static func wrong(_ name: String) -> DecodingError {
        DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "\(name) is not there, or not base64url"))
    }
}

/// What a passkey answers (`AuthenticationResponseJSON`).
struct PasskeyAnswer {
    let id: Data
    let clientDataJSON: Data
    let authenticatorData: Data
    let signature: Data
    let userHandle: Data?

    var json: String {
        // Each is base64url, which needs no escape.
        let user = userHandle.flatMap { $0.isEmpty ? nil : #","userHandle":"\#($0.base64URL)""# } ?? ""
        return #"{"id":"\#(id.base64URL)","rawId":"\#(id.base64URL)","type":"public-key","#
            + #""clientExtensionResults":{},"response":{"clientDataJSON":"\#(clientDataJSON.base64URL)","#
            + #""authenticatorData":"\#(authenticatorData.base64URL)","signature":"\#(signature.base64URL)"\#(user)}}"#
    }
}

extension Data {
    init?(base64URL text: String) {
        guard !text.contains(where: { "+/=".contains($0) }) else { return nil }
        let standard = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        self.init(base64Encoded: standard + String(repeating: "=", count: (4 - standard.count % 4) % 4))
    }

    var base64URL: String {
        base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }
}
