import DirectAuthAPI

/// An API that wants the session's access token. The app's is `URLSession.data(for:authorizedBy:)` of DirectAuth.
public protocol Resource: Sendable {
    /// Throws what its connection throws.
    func ask(_ session: any AuthSession) async throws -> ResourceAnswer
}

/// What came of asking it.
public enum ResourceAnswer: Sendable, Hashable {
    /// Its answer.
    case text(String)
    /// It wants more assurance than the session's sign-in has shown.
    case stepUp(StepUpRequired)
    /// It takes no token of this session any more.
    case signInAgain
    /// Another status than 200.
    case refused(status: Int)
}
