import DirectAuthAPI
import Foundation

/// A device with one passkey, in software: it signs what a real one would sign, and never asks anybody.
///
/// ``Emulator/addPasskey(_:_:)`` registers it at the emulator.
public final class FakePasskeys: PasskeyCeremony, @unchecked Sendable {
    /// What a device may answer.
    public enum Behaviour: Sendable, Hashable, CaseIterable {
        /// What it should.
        case signs
        /// An answer with a signature that nobody made.
        case signsNothing
        /// The answer to another challenge.
        case answersAnotherChallenge
        /// What is no answer at all.
        case talksNonsense
    }

    private let origin: String
    private let key: SoftwareKey
    private let id = base64URL(Data((0..<16).map { _ in UInt8.random(in: 0...255) }))
    private let userHandle: String
    private let lock = NSLock()
    private var signatures: UInt32 = 0
    private var current = Behaviour.signs

    /// A device with one passkey.
    ///
    /// - Parameters:
    ///   - origin: whose ceremony it is: the issuer's origin.
    ///   - username: whose passkey it is, for a sign-in without a username.
    /// - Throws: on Linux, if there is no program `openssl`.
    public init(origin: String, username: String) throws {
        self.origin = origin
        key = try SoftwareKey()
        userHandle = base64URL(Data("handle of \(username)".utf8))
    }

    /// What the next answers are.
    public var behaviour: Behaviour {
        get { lock.withLock { current } }
        set { lock.withLock { current = newValue } }
    }

    /// The passkey as the emulator's `POST /users/USER/passkeys` takes it: public parts only, in JSON.
    public var registration: String {
        JSON.object([
            "id": .string(id), "public_key": .string(base64URL(key.document)), "user_handle": .string(userHandle),
            "name": "a passkey in software",
        ]).text
    }

    public func get(requestJSON: String) async throws -> String {
        let behaviour = self.behaviour
        if behaviour == .talksNonsense { return "{}" }
        let request = try JSON(parsing: requestJSON)
        let options = request["publicKey"] ?? request
        guard let asked = options["challenge"]?.string, let relyingParty = options["rpId"]?.string else {
            throw ScriptError("this is no request for a passkey")
        }
        let allowed = options["allowCredentials"]?.array?.compactMap { $0["id"]?.string } ?? []
        guard allowed.isEmpty || allowed.contains(id) else { throw ScriptError("the server asks for other passkeys than this one") }
        let challenge = behaviour == .answersAnotherChallenge ? base64URL(Data(count: 32)) : asked
        // WebAuthn §5.8.1.1: in this order.
        let clientData = Data(
            #"{"type":"webauthn.get","challenge":"\#(challenge)","origin":"\#(origin)","crossOrigin":false}"#.utf8)
        // WebAuthn §6.1: the relying party, that somebody was there and was verified, and how often it has signed.
        let counter = lock.withLock {
            signatures += 1
            return signatures
        }
        var authenticatorData = try SoftwareKey.sha256(Data(relyingParty.utf8)) + [0x05]
        withUnsafeBytes(of: counter.bigEndian) { authenticatorData.append(contentsOf: $0) }
        let signature =
            behaviour == .signsNothing
            ? Data(repeating: 1, count: 70) : try key.sign(authenticatorData + SoftwareKey.sha256(clientData))
        return JSON.object([
            "id": .string(id), "rawId": .string(id), "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": [:],
            "response": .object([
                "clientDataJSON": .string(base64URL(clientData)), "authenticatorData": .string(base64URL(authenticatorData)),
                "signature": .string(base64URL(signature)), "userHandle": .string(userHandle),
            ]),
        ]).text
    }
}

package func base64URL(_ data: Data) -> String {
    data.base64EncodedString()
        .replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
}
