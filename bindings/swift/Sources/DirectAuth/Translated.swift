import DirectAuthAPI

/// What the core throws, as the app sees it. Whatever it throws beside its errors is a defect of the library; its text stays here.
func translated<T>(_ work: () throws -> T) throws -> T {
    do {
        return try work()
    } catch {
        throw forApp(error)
    }
}

func translated<T: Sendable>(_ work: @Sendable () async throws -> T) async throws -> T {
    do {
        return try await work()
    } catch {
        throw forApp(error)
    }
}

func forApp(_ error: any Error) -> any Error {
    switch error {
    case let error as CoreError: AuthError(error)
    case is CancellationError, is AuthError: error
    default: AuthError.internal()
    }
}
