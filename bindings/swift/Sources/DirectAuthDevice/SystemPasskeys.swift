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
                    #if os(iOS) && !targetEnvironment(macCatalyst)
                        if isAssisted { return controller.performAutoFillAssistedRequests() }
                    #endif
                    controller.performRequests()
                }
            } onCancel: {
                Task { @MainActor in self.cancel() }
            }
        }

        /// What the delegate hears of it comes too late: it would be the same error as when the user does not want to.
        private func cancel() {
            let controller = controller
            finish(.failure(CancellationError()))
            controller?.cancel()
        }

        private func finish(_ result: Result<String, any Error>) {
            waiting?.resume(with: result)
            waiting = nil
            controller = nil
        }

        // The protocols are the main actor's in newer SDKs alone, so these are nobody's. The system calls them on the main thread.

        nonisolated func presentationAnchor(for controller: ASAuthorizationController) -> ASPresentationAnchor {
            MainActor.assumeIsolated { anchor() }
        }

        nonisolated func authorizationController(
            controller: ASAuthorizationController, didCompleteWithAuthorization done: ASAuthorization
        ) {
            // Two of them are declared as what may be nil.
            guard let assertion = done.credential as? ASAuthorizationPlatformPublicKeyCredentialAssertion,
                let authenticatorData = assertion.rawAuthenticatorData as Data?, let signature = assertion.signature as Data?
            else { return tell(.failure(ASAuthorizationError(.invalidResponse))) }
            tell(
                .success(
                    PasskeyAnswer(
                        id: assertion.credentialID, clientDataJSON: assertion.rawClientDataJSON,
                        authenticatorData: authenticatorData, signature: signature, userHandle: assertion.userID
                    ).json))
        }

        nonisolated func authorizationController(controller: ASAuthorizationController, didCompleteWithError error: any Error) {
            tell(.failure(error))
        }

        nonisolated private func tell(_ result: Result<String, any Error>) {
            Task { @MainActor in finish(result) }
        }
    }
#endif
