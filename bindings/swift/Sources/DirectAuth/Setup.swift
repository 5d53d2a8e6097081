import DirectAuthAPI
import Foundation

/// The generated code ends the process for what is no length of time: it never gets there.
func lengthOfTime(_ seconds: TimeInterval?, _ name: String) throws -> TimeInterval? {
    guard let seconds else { return nil }
    guard (0...1e9).contains(seconds) else { throw AuthError.configuration(what: "\(name) has to be from 0 to 10^9 seconds") }
    return seconds
}

/// How to set up a client of the core. To be called where clients are built.
///
/// - Throws: ``AuthError/configuration(what:details:)`` for what cannot even be given to the core.
func coreSetup(issuer: String, clientID: String, options: DirectAuthOptions) throws -> CoreSetup {
    let setup = try CoreSetup(
        config: CoreConfig(
            issuer: issuer,
            clientId: clientID,
            scopes: options.scopes,
            capabilities: options.capabilities?.map(\.forCore),
            resourceOrigins: options.resourceOrigins,
            relyingParties: options.relyingParties,
            passkeyStart: options.passkeyStart?.forCore,
            recoveryRequest: options.recoveryRequest?.forCore,
            dpop: options.dpop?.forCore,
            additionalParameters: options.additionalParameters,
            connectTimeout: lengthOfTime(options.connectTimeout, "connectTimeout"),
            requestTimeout: lengthOfTime(options.requestTimeout, "requestTimeout"),
            trust: options.trust?.forCore,
            pins: options.pins,
            trimUsernames: options.trimUsernames,
            whenStorageFails: options.whenStorageFails?.forCore,
            widerScopes: options.widerScopes?.forCore,
            profile: options.profile?.forCore,
            accounts: options.accounts?.forCore,
            refreshPolicy: options.refreshPolicy?.forCore,
            sharedStore: options.sharedStore,
            storageCallDeadline: lengthOfTime(options.storageCallDeadline, "storageCallDeadline"),
            keyCallDeadline: lengthOfTime(options.keyCallDeadline, "keyCallDeadline")))
    options.storage.map { setup.setStorage(storage: StorageForCore($0)) }
    options.signingKey.map { setup.setSigningKey(keys: KeysForCore($0)) }
    options.crossProcessLock.map { setup.setCrossProcessLock(lock: LockForCore($0)) }
    options.headerProvider.map { setup.setHeaderProvider(headers: HeadersForCore($0)) }
    options.auditSink.map { setup.setAuditSink(sink: AuditSinkForCore($0)) }
    options.auditKey.map { setup.setAuditKey(key: $0) }
    switch options.proxy {
    case nil: break
    case .system: setup.useSystemProxy()
    case .http(let url): setup.setProxy(url: url)
    }
    return setup
}

extension PasskeyStart {
    fileprivate var forCore: CorePasskeyStart {
        switch self {
        case .challenge: .challenge
        case .primaryAuthenticate: .primaryAuthenticate
        }
    }
}

extension RecoveryRequest {
    fileprivate var forCore: CoreRecoveryRequest {
        switch self {
        case .intent: .intent
        case .prompt: .prompt
        }
    }
}

extension DPoP {
    fileprivate var forCore: CoreDPoP {
        switch self {
        case .off: .off
        case .preferred: .preferred
        case .required: .required
        }
    }
}

extension Trust {
    fileprivate var forCore: CoreTrust {
        switch self {
        case .platform: .platform
        case .bundled: .bundled
        case .custom(let pem): .custom(pem: pem)
        }
    }
}

extension WhenStorageFails {
    fileprivate var forCore: CoreWhenStorageFails {
        switch self {
        case .refuse: .refuse
        case .keepInMemory: .keepInMemory
        }
    }
}

extension WiderScopes {
    fileprivate var forCore: CoreWiderScopes {
        switch self {
        case .accept: .accept
        case .refuse: .refuse
        }
    }
}

extension Profile {
    fileprivate var forCore: CoreProfile {
        switch self {
        case .okta: .okta
        case .oidc: .oidc
        }
    }
}

extension Accounts {
    fileprivate var forCore: CoreAccounts {
        switch self {
        case .one: .one
        case .many: .many
        }
    }
}

extension RefreshPolicy {
    fileprivate var forCore: CoreRefreshPolicy {
        switch self {
        case .whenDue: .whenDue
        case .never: .never
        }
    }
}
