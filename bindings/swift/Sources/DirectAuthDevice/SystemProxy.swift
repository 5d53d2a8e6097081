#if canImport(CFNetwork)
    import CFNetwork
    import DirectAuthAPI
    import Foundation

    extension Proxy {
        /// How the device's network settings say that a server is reached, for ``DirectAuthOptions/proxy``; nil: without a proxy.
        ///
        /// They are read once, now: a client that shall follow a change is made anew. A script that the settings name is not run.
        public static func ofSystem(for issuer: String) -> Proxy? {
            guard let url = URL(string: issuer), let settings = CFNetworkCopySystemProxySettings()?.takeRetainedValue() else { return nil }
            let found = CFNetworkCopyProxiesForURL(url as CFURL, settings).takeRetainedValue() as? [[String: Any]] ?? []
            return systemProxy(found.map { entry in
                ProxyEntry(
                    type: entry[kCFProxyTypeKey as String] as? String ?? "", host: entry[kCFProxyHostNameKey as String] as? String,
                    port: entry[kCFProxyPortNumberKey as String] as? Int)
            })
        }
    }
#endif
