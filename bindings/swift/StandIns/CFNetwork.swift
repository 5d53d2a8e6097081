// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

import AppleFoundation

nonisolated(unsafe) public let kCFProxyTypeKey: CFString = ""
nonisolated(unsafe) public let kCFProxyHostNameKey: CFString = ""
nonisolated(unsafe) public let kCFProxyPortNumberKey: CFString = ""

public func CFNetworkCopySystemProxySettings() -> Unmanaged<CFDictionary>? { fatalError() }
public func CFNetworkCopyProxiesForURL(_ url: CFURL, _ proxySettings: CFDictionary) -> Unmanaged<CFArray> { fatalError() }
