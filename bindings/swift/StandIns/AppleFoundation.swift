// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

// What Foundation has on Apple systems beside what it has on Linux. Every file imports it without saying so, as it does
// Foundation itself. Toll-free bridged types are one type here.

@_exported import Foundation
@_exported import FoundationNetworking

public typealias OSStatus = Int32
public typealias CFTypeRef = AnyObject
public typealias CFString = NSString
public typealias CFData = NSData
public typealias CFArray = NSArray
public typealias CFDictionary = NSDictionary
public typealias CFURL = NSURL
public typealias CFOptionFlags = UInt

public final class CFAllocator {}
public final class CFError {}

extension FileManager {
    public func containerURL(forSecurityApplicationGroupIdentifier groupIdentifier: String) -> URL? { fatalError() }
}

#if !os(macOS)
    extension ProcessInfo {
        public func performExpiringActivity(withReason reason: String, using block: @escaping @Sendable (Bool) -> Void) { fatalError() }
    }
#endif
