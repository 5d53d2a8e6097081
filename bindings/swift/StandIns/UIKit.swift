// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

import Foundation

@MainActor open class UIResponder: NSObject {}
@MainActor open class UIView: UIResponder {}
@MainActor open class UIWindow: UIView {}

@MainActor open class UIApplication: UIResponder {
    nonisolated public class var willEnterForegroundNotification: NSNotification.Name { fatalError() }
    nonisolated public class var protectedDataDidBecomeAvailableNotification: NSNotification.Name { fatalError() }
}
