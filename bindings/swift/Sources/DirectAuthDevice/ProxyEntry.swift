import DirectAuthAPI

/// One of the ways to a server that the system's settings name, as `CFNetworkCopyProxiesForURL` gives them.
struct ProxyEntry {
    let type: String
    let host: String?
    let port: Int?
}

/// The first way that this library can go.
func systemProxy(_ entries: [ProxyEntry]) -> Proxy? {
    for entry in entries {
        switch entry.type {
        case "kCFProxyTypeNone": return nil
        case "kCFProxyTypeHTTP", "kCFProxyTypeHTTPS":
            guard let host = entry.host, let port = entry.port else { continue }
            return .http("http://\(host.contains(":") ? "[\(host)]" : host):\(port)")
        default: continue
        }
    }
    return nil
}
