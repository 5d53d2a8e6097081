// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

import Foundation

@MainActor open class NSResponder: NSObject {}
@MainActor open class NSWindow: NSResponder {}
