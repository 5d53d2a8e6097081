import DirectAuth
import Foundation
import XCTest

struct Mismatch: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

extension SignInStep {
    func asSession() throws -> any AuthSession {
        guard case .signedIn(let session) = self else { throw Mismatch("not signed in, but \(self)") }
        return session
    }

    func asChooseFactor() throws -> any ChooseFactor {
        guard case .chooseFactor(let step) = self else { throw Mismatch("no choice, but \(self)") }
        return step
    }

    func asApproveOnDevice() throws -> any ApproveOnDevice {
        guard case .approveOnDevice(let step) = self else { throw Mismatch("no prompt, but \(self)") }
        return step
    }

    func asEnterCode() throws -> any EnterCode {
        guard case .enterCode(let step) = self else { throw Mismatch("no code is asked for, but \(self)") }
        return step
    }

    func asUsePasskey() throws -> any UsePasskey {
        guard case .usePasskey(let step) = self else { throw Mismatch("no passkey is asked for, but \(self)") }
        return step
    }

    func asResetPassword() throws -> any ResetPassword {
        guard case .resetPassword(let step) = self else { throw Mismatch("no new password is asked for, but \(self)") }
        return step
    }
}

/// The error that a call fails with; nil, and a failed test, if it does not.
func errorOf<T>(_ call: @autoclosure () async throws -> T, file: StaticString = #filePath, line: UInt = #line) async -> (any Error)? {
    do {
        let value = try await call()
        XCTFail("gave \(value)", file: file, line: line)
        return nil
    } catch {
        return error
    }
}

func authErrorOf<T>(_ call: @autoclosure () async throws -> T, file: StaticString = #filePath, line: UInt = #line) async -> AuthError? {
    let error = await errorOf(try await call(), file: file, line: line)
    if let error, !(error is AuthError) { XCTFail("no AuthError, but \(error)", file: file, line: line) }
    return error as? AuthError
}

/// The state is told by another thread when nobody has looked before.
func assertState(of auth: any AuthClient, becomes wanted: AuthState, file: StaticString = #filePath, line: UInt = #line) async {
    var found = auth.state
    for _ in 0..<5000 {
        if found == wanted { break }
        try? await Task.sleep(nanoseconds: 1_000_000)
        found = auth.state
    }
    XCTAssertEqual(found, wanted, file: file, line: line)
}

/// All that anybody may print of a value.
func everyText(of value: Any) -> String {
    var dumped = ""
    dump(value, to: &dumped)
    let error = (value as? any Error).map { "\($0.localizedDescription) \($0 as NSError)" } ?? ""
    return [String(describing: value), String(reflecting: value), dumped, error].joined(separator: "\n")
}

/// Tests with the library in the process.
class LibraryTestCase: XCTestCase {
    override class func setUp() {
        super.setUp()
        // On Linux Rust code in a process of another language can get this signal when the other side has closed a connection.
        signal(SIGPIPE, SIG_IGN)
    }
}
