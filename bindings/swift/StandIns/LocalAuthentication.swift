// Declarations only, for scripts/check-apple-types; nothing of them ships. What they say was written from Apple's documentation and
// not checked by Apple's compiler.

import Foundation

open class LAContext: NSObject {
    open func invalidate() { fatalError() }
    open var localizedReason: String { get { fatalError() } set { fatalError() } }
    open var localizedFallbackTitle: String? { get { fatalError() } set { fatalError() } }
    open var interactionNotAllowed: Bool { get { fatalError() } set { fatalError() } }
    open var touchIDAuthenticationAllowableReuseDuration: TimeInterval { get { fatalError() } set { fatalError() } }
}
