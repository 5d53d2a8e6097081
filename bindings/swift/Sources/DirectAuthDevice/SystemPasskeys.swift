#if canImport(AuthenticationServices) && (os(iOS) || os(macOS) || os(visionOS))
    import AuthenticationServices
    import DirectAuthAPI
    import Foundation

    /// The passkeys of the platform, by `ASAuthorizationController`. Needs iOS 16 or macOS 13.
    ///
    /// The app's associated domains name the relying party (`webcredentials:`).
    @available(iOS 16, macOS 13, *)
    public final class SystemPasskeys: PasskeyCeremony {
        private let anchor: @MainActor @Sendable () -> ASPresentationAnchor
        private let isAssisted: Bool

        /// - Parameters:
        ///   - isAssisted: offers the passkey above the keyboard while the user is in a field of the content type `username`, instead of a
        ///     sheet at once; iOS only. It waits until the user takes it, or the task is cancelled.
        ///   - anchor: the window that it is shown over.
        public init(isAssisted: Bool = false, anchor: @escaping @MainActor @Sendable () -> ASPresentationAnchor) {
            self.anchor = anchor
            self.isAssisted = isAssisted
        }

        /// Throws `ASAuthorizationError`, such as `canceled` when the user does not want to.
        public func get(requestJSON: String) async throws -> String {
            let options = try PasskeyRequest(json: requestJSON)
            return try await Ceremony(anchor, isAssisted).perform(options)
        }
    }

    @available(iOS 16, macOS 13, *)
    @MainActor
    private final class Ceremony: NSObject, ASAuthorizationControllerDelegate, ASAuthorizationControllerPresentationContextProviding {
        private let anchor: @MainActor @Sendable () -> ASPresentationAnchor
        private let isAssisted: Bool
        private var controller: ASAuthorizationController?
        private var waiting: CheckedContinuation<String, any Error>?

        init(_ anchor: @escaping @MainActor @Sendable () -> ASPresentationAnchor, _ isAssisted: Bool) {
            self.anchor = anchor
            self.isAssisted = isAssisted
        }

        func perform(_ options: PasskeyRequest) async throws -> String {
            let provider = ASAuthorizationPlatformPublicKeyCredentialProvider(relyingPartyIdentifier: options.relyingParty)
            let request = provider.createCredentialAssertionRequest(challenge: options.challenge)
            request.allowedCredentials = options.allowed.map(ASAuthorizationPlatformPublicKeyCredentialDescriptor.init(credentialID:))
            request.userVerificationPreference = .init(rawValue: options.userVerification)
            let controller = ASAuthorizationController(authorizationRequests: [request])
            controller.delegate = self
            controller.presentationContextProvider = self
            self.controller = controller
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    waiting = continuation
                    if Task.isCancelled { return finish(.failure(CancellationError())) }
                    #if os(iOS)
                        if isAssisted { return controller.performAutoFillAssistedRequests() }
                    #endif
                    controller.performRequests()
                }
            } onCancel: {
                Task { @MainActor in self.controller?.cancel() }
            }
        }

        private func finish(_ result: Result<String, any Error>) {
            waiting?.resume(with: result)
            waiting = nil
            controller = nil
        }

        func presentationAnchor(for controller: ASAuthorizationController) -> ASPresentationAnchor { anchor() }

        func authorizationController(controller: ASAuthorizationController, didCompleteWithAuthorization done: ASAuthorization) {
            guard let assertion = done.credential as? ASAuthorizationPlatformPublicKeyCredentialAssertion else {
                return finish(.failure(ASAuthorizationError(.invalidResponse)))
            }
            finish(
                .success(
                    PasskeyAnswer(
                        id: assertion.credentialID, clientDataJSON: assertion.rawClientDataJSON,
                        authenticatorData: assertion.rawAuthenticatorData, signature: assertion.signature, userHandle: assertion.userID
                    ).json))
        }

        func authorizationController(controller: ASAuthorizationController, didCompleteWithError error: any Error) {
            finish(.failure(Task.isCancelled ? CancellationError() : error))
        }
    }
#endif
