// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

// There for `canImport(Darwin)`: the functions of C that are used come from Glibc.

public func memset_s(_ destination: UnsafeMutableRawPointer!, _ size: Int, _ value: Int32, _ count: Int) -> Int32 { fatalError() }
