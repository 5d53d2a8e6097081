import DirectAuth
import DirectAuthTestCore
import DirectAuthTesting
import XCTest

#if canImport(Glibc)
    import Glibc
#endif

/// Who goes away leaves nothing behind, and loses nothing.
final class CancellationTests: LibraryTestCase {
    func testS2ACallToAListenerThatSaysNothingEndsWhenItsTaskIsCancelled() async throws {
        let listener = try SilentListener()
        let auth = DirectAuthClient(issuer: "https://127.0.0.1:\(listener.port)", clientID: "app") { $0.connectTimeout = 30 }
        let call = Task { try await auth.signIn(ben).password(bensPassword) }
        try await Task.sleep(nanoseconds: 300_000_000)
        let began = Date()
        call.cancel()
        let error = await errorOf(try await call.value)
        XCTAssertTrue(error is CancellationError, "\(String(describing: error))")
        XCTAssertLessThan(Date().timeIntervalSince(began), 2)
    }

    func testS2ThreeThousandCancellationsAtTheLastMomentLeaveNoObjectBehind() async throws {
        let defects = TestDefects()
        var (cancelled, completed) = (0, 0)
        var aim = Aim(nanoseconds: 100_000, step: 0.97)
        for _ in 0..<3000 {
            let call = Task { _ = try await defects.counted(turns: Int32.random(in: 0..<4)) }
            // Aimed at the moment between the result and its arrival; a sleep would be too coarse.
            let until = DispatchTime.now().uptimeNanoseconds + aim.next()
            while DispatchTime.now().uptimeNanoseconds < until {}
            call.cancel()
            switch await call.result {
            case .success:
                completed += 1
                aim.wasLate()
            case .failure(let error):
                XCTAssertTrue(error is CancellationError, "\(error)")
                cancelled += 1
                aim.wasEarly()
            }
        }
        XCTAssertGreaterThan(cancelled, 500, "the races were close: \(completed) were complete")
        XCTAssertGreaterThan(completed, 500, "the races were close: \(cancelled) were cancelled")
        try await eventually("nothing is held") { defects.held() == 0 }
        print("S2: \(cancelled) of 3000 calls were cancelled, \(defects.held()) results are held")
    }

    func testATaskThatIsCancelledBeforeItCallsSendsNothing() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        let call = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await auth.signIn(ben).password(bensPassword)
        }
        call.cancel()
        let error = await errorOf(try await call.value)
        XCTAssertTrue(error is CancellationError, "\(String(describing: error))")
        let requests = try await desk.emulator.journal().count
        XCTAssertEqual(requests, 0)
    }

    func testCancellingWhileAPushWaitsEndsThePolling() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        let choice = try await desk.waiting { try await auth.signIn(ana).password(anasPassword) }.asChooseFactor()
        let push = try await desk.waiting { try await choice.push() }.asApproveOnDevice()
        func polls() async throws -> Int { try await desk.requests("token") - 1 }
        let waits = Task { try await desk.waiting { try await push.approved() } }
        try await eventually("two polls") { try await polls() >= 2 }
        waits.cancel()
        let error = await errorOf(try await waits.value)
        XCTAssertTrue(error is CancellationError, "\(String(describing: error))")
        try desk.world.settle()
        let before = try await polls()
        try desk.world.run(by: 120)
        let after = try await polls()
        XCTAssertEqual(after, before, "no poll after the cancellation")
        // And it can be waited for again.
        let prompts = try await desk.emulator.prompts()
        try await desk.emulator.approve(XCTUnwrap(prompts.first))
        _ = try await desk.waiting { try await push.approved() }.asSession()
    }

    func testBackAndAnotherMethodDoNotNeedThePasswordAgain() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        let choice = try await desk.waiting { try await auth.signIn(ana).password(anasPassword) }.asChooseFactor()
        let push = try await desk.waiting { try await choice.push() }
        let back = try XCTUnwrap(push.choice)
        let code = try await desk.waiting { try await back.sms() }.asEnterCode()
        let error = await authErrorOf(try await desk.waiting { try await code.submit("000000") })
        XCTAssertEqual(error?.remedy, .askAgain)
        XCTAssertEqual(code.attemptsLeft, 4)
        let sent = try await desk.emulator.lastCode(ana)
        _ = try await desk.waiting { try await code.submit(XCTUnwrap(sent)) }.asSession()
    }

    func testARefreshWhoseCallerHasGoneIsStoredAllTheSame() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        let session = try await desk.bensSession(auth)
        let old = try await session.accessToken()
        try await desk.emulator.script(#"{"on":"token","grant":"refresh_token","answer":{"real":{},"delay_ms":1000}}"#)
        let refresh = Task { try await session.refresh() }
        try await eventually("the refresh is on its way") { try await desk.emulator.unusedRules().isEmpty }
        refresh.cancel()
        let error = await errorOf(try await refresh.value)
        XCTAssertTrue(error is CancellationError, "\(String(describing: error))")
        try desk.world.settle()
        desk.world.kill(process: "app")
        let restored = try await desk.client().restore()
        let token = try await XCTUnwrap(restored).accessToken()
        XCTAssertNotEqual(token, old)
        let requests = try await desk.requests("token")
        XCTAssertEqual(requests, 2, "the sign-in and one refresh")
    }

    func testCancelledSignInsNeverSignInUnlessTheyWereCompleteBefore() async throws {
        let emulator = try await RealEmulator.tenant()
        let auth = emulator.client()
        try await auth.warmUp()
        // While the server still works at what was cancelled, another sign-in of the user is refused.
        @Sendable func patiently() async throws {
            while true {
                do {
                    _ = try await auth.signIn(ben).password(bensPassword)
                    return
                } catch AuthError.busy {
                    try await Task.sleep(nanoseconds: 1_000_000)
                }
            }
        }
        var (cancelled, completed) = (0, 0)
        var aim = Aim(nanoseconds: 25_000_000, step: 0.7)
        for _ in 0..<20 {
            let signIn = Task { try await patiently() }
            try await Task.sleep(nanoseconds: aim.next())
            signIn.cancel()
            switch await signIn.result {
            case .success:
                completed += 1
                aim.wasLate()
            case .failure(let error):
                XCTAssertTrue(error is CancellationError, "\(error)")
                cancelled += 1
                aim.wasEarly()
            }
        }
        XCTAssertGreaterThan(cancelled, 3, "\(completed) were complete")
        XCTAssertGreaterThan(completed, 3, "\(cancelled) were cancelled")
        // And while the server works, which signs them in and hears that nobody wants that.
        for _ in 0..<3 {
            try await emulator.clearScript()
            try await emulator.script(#"{"on":"token","answer":{"real":{},"delay_ms":300}}"#)
            let signIn = Task { try await patiently() }
            try await eventually("it is on its way") { try await emulator.unusedRules().isEmpty }
            signIn.cancel()
            let error = await errorOf(try await signIn.value)
            XCTAssertTrue(error is CancellationError, "\(String(describing: error))")
        }
        // One account: at most the last one that was complete lives on; what came for nobody is given back.
        try await eventually("as many grants as sessions") {
            let live = try await emulator.liveGrants()
            return try await auth.restore() == nil ? live == 0 : live == 1
        }
    }
}

/// How long to wait before a cancellation that is to meet the end of a call: it follows those before.
private struct Aim {
    private var wait: Double
    private let step: Double

    init(nanoseconds: Double, step: Double) {
        wait = nanoseconds
        self.step = step
    }

    func next() -> UInt64 { UInt64(wait * Double.random(in: 0.5..<1.5)) }

    mutating func wasLate() { wait = max(1_000, wait * step) }

    mutating func wasEarly() { wait = min(1_000_000_000, wait / step) }
}

/// Accepts connections and says nothing.
private final class SilentListener {
    let port: UInt16
    private let socket: Int32

    init() throws {
        #if canImport(Glibc)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let socket = Foundation.socket(AF_INET, stream, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isUp = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && listen(socket, 8) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        self.socket = socket
        port = UInt16(bigEndian: address.sin_port)
        guard isUp else { throw Mismatch("no listener") }
    }

    deinit {
        close(socket)
    }
}
