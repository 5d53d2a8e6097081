// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

import Foundation

#if os(macOS)
    @_exported import AppKit
    public typealias ASPresentationAnchor = NSWindow
#else
    @_exported import UIKit
    public typealias ASPresentationAnchor = UIWindow
#endif

// Objective-C lets each function of the delegate be left out; here a function that is named or typed otherwise is an error.
// Older SDKs do not give these two protocols to the main actor.
#if UNISOLATED
    public protocol ASAuthorizationControllerDelegate: NSObjectProtocol {
        func authorizationController(controller: ASAuthorizationController, didCompleteWithAuthorization authorization: ASAuthorization)
        func authorizationController(controller: ASAuthorizationController, didCompleteWithError error: any Error)
    }

    public protocol ASAuthorizationControllerPresentationContextProviding: NSObjectProtocol {
        func presentationAnchor(for controller: ASAuthorizationController) -> ASPresentationAnchor
    }
#else
    @MainActor public protocol ASAuthorizationControllerDelegate: NSObjectProtocol {
        func authorizationController(controller: ASAuthorizationController, didCompleteWithAuthorization authorization: ASAuthorization)
        func authorizationController(controller: ASAuthorizationController, didCompleteWithError error: any Error)
    }

    @MainActor public protocol ASAuthorizationControllerPresentationContextProviding: NSObjectProtocol {
        func presentationAnchor(for controller: ASAuthorizationController) -> ASPresentationAnchor
    }
#endif

open class ASAuthorizationController: NSObject {
    public init(authorizationRequests: [ASAuthorizationRequest]) {}
    open weak var delegate: (any ASAuthorizationControllerDelegate)?
    open weak var presentationContextProvider: (any ASAuthorizationControllerPresentationContextProviding)?
    open func performRequests() { fatalError() }
    #if (os(iOS) && !targetEnvironment(macCatalyst)) || os(visionOS)
        @available(iOS 16, *)
        open func performAutoFillAssistedRequests() { fatalError() }
    #endif
    @available(iOS 16, macOS 13, *)
    open func cancel() { fatalError() }
}

public protocol ASAuthorizationProvider: NSObjectProtocol {}
public protocol ASAuthorizationCredential: NSObjectProtocol, NSCopying, NSSecureCoding {}

open class ASAuthorization: NSObject {
    open var provider: any ASAuthorizationProvider { fatalError() }
    open var credential: any ASAuthorizationCredential { fatalError() }
}

open class ASAuthorizationRequest: NSObject {}

public struct ASAuthorizationError: Error {
    public enum Code: Int, Sendable {
        case unknown = 1000
        case canceled = 1001
        case invalidResponse = 1002
        case notHandled = 1003
        case failed = 1004
        @available(iOS 15, macOS 12, *)
        case notInteractive = 1005
    }

    public let code: Code
    public init(_ code: Code, userInfo: [String: Any] = [:]) { fatalError() }
}

// MARK: passkeys: iOS 15, macOS 12

public struct ASAuthorizationPublicKeyCredentialUserVerificationPreference: RawRepresentable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public static let discouraged = Self(rawValue: "discouraged")
    public static let preferred = Self(rawValue: "preferred")
    public static let required = Self(rawValue: "required")
}

open class ASAuthorizationPlatformPublicKeyCredentialDescriptor: NSObject {
    public init(credentialID: Data) {}
    open var credentialID: Data { get { fatalError() } set { fatalError() } }
}

open class ASAuthorizationPlatformPublicKeyCredentialAssertionRequest: ASAuthorizationRequest {
    open var allowedCredentials: [ASAuthorizationPlatformPublicKeyCredentialDescriptor] { get { fatalError() } set { fatalError() } }
    open var userVerificationPreference: ASAuthorizationPublicKeyCredentialUserVerificationPreference {
        get { fatalError() }
        set { fatalError() }
    }
}

open class ASAuthorizationPlatformPublicKeyCredentialProvider: NSObject, ASAuthorizationProvider {
    public init(relyingPartyIdentifier: String) {}
    open func createCredentialAssertionRequest(challenge: Data) -> ASAuthorizationPlatformPublicKeyCredentialAssertionRequest {
        fatalError()
    }
}

open class ASAuthorizationPlatformPublicKeyCredentialAssertion: NSObject, ASAuthorizationCredential {
    open var credentialID: Data { fatalError() }
    open var rawClientDataJSON: Data { fatalError() }
    open var rawAuthenticatorData: Data! { fatalError() }
    open var signature: Data! { fatalError() }
    open var userID: Data! { fatalError() }

    public func copy(with zone: NSZone? = nil) -> Any { fatalError() }
    public static var supportsSecureCoding: Bool { true }
    public func encode(with coder: NSCoder) {}
    public required init?(coder: NSCoder) { fatalError() }
}
