import DirectAuthAPI

/// How to set up a client of the core. To be called where clients are built.
func coreSetup(issuer: String, clientID: String, options: DirectAuthOptions) -> CoreSetup {
    let setup = CoreSetup(
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
            connectTimeout: options.connectTimeout,
            requestTimeout: options.requestTimeout,
            trust: options.trust?.forCore,
            pins: options.pins,
            trimUsernames: options.trimUsernames,
            whenStorageFails: options.whenStorageFails?.forCore,
            widerScopes: options.widerScopes?.forCore,
            profile: options.profile?.forCore,
            accounts: options.accounts?.forCore,
            refreshPolicy: options.refreshPolicy?.forCore,
            sharedStore: options.sharedStore,
            storageCallDeadline: options.storageCallDeadline,
            keyCallDeadline: options.keyCallDeadline))
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
