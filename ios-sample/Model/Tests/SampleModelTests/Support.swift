import DirectAuthAPI
import Foundation
import Observation
import SampleModel
import XCTest

/// On Linux a test's own function cannot be on the main actor.
func onMain(_ work: @escaping @MainActor @Sendable () async throws -> Void) async throws {
    try await Task { @MainActor in try await work() }.value
}

/// Waits until it holds, looking whenever the model changes; a real server takes real time, but not half a minute.
@MainActor
func until(
    _ model: AppModel, file: StaticString = #filePath, line: UInt = #line, _ holds: @escaping @MainActor (AppModel) -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(30)
    while !holds(model) {
        guard ContinuousClock.now < end else {
            XCTFail("in vain; there is \(model.screen), \(String(describing: model.problem))", file: file, line: line)
            throw CancellationError()
        }
        let (changes, changed) = AsyncStream.makeStream(of: Void.self)
        withObservationTracking {
            _ = (model.screen, model.isBusy, model.problem)
        } onChange: {
            changed.yield()
        }
        // Only a test that fails waits for it.
        let late = Task {
            try? await Task.sleep(until: end)
            changed.yield()
        }
        for await _ in changes { break }
        late.cancel()
        // It is told before the change.
        await Task.yield()
    }
}

@MainActor
extension AppModel {
    var failure: AuthError? { if case .failed(let error) = problem { error } else { nil } }
    var home: HomeScreen? { if case .home(let home) = screen { home } else { nil } }
    var isHome: Bool { home != nil && !isBusy }
    var isSignIn: Bool { if case .signIn = screen { true } else { false } }
    var choices: [Factor]? { if case .choose(let factors) = screen, !isBusy { factors } else { nil } }
    var code: CodeScreen? { if case .code(let code) = screen { code } else { nil } }
}

/// A resource that answers what a test says.
struct Answering: Resource {
    var answer: @Sendable () throws -> ResourceAnswer = { .text("me") }

    func ask(_: any AuthSession) async throws -> ResourceAnswer { try answer() }
}
