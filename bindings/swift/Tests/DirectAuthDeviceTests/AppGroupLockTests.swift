import DirectAuthAPI
import XCTest

@testable import DirectAuthDevice

final class AppGroupLockTests: XCTestCase {
    /// A system that grants time, or does not, and ends it when it is told to.
    private final class Activity: ExpiringActivity, @unchecked Sendable {
        private let lock = NSLock()
        private var expired: [@Sendable () -> Void] = []
        private var open = 0
        var isAllowed = true
        var begun: (@Sendable (Int) -> Void)?
        var running: Int { lock.withLock { open } }

        func begin(within timeout: TimeInterval, _ expired: @escaping @Sendable () -> Void) -> (@Sendable () -> Void)? {
            guard isAllowed else { return nil }
            let count = lock.withLock {
                self.expired.append(expired)
                open += 1
                return self.expired.count
            }
            begun?(count)
            return { self.lock.withLock { self.open -= 1 } }
        }

        func expire() {
            for expired in lock.withLock({ self.expired }) { expired() }
        }

        /// Ends the time that was begun as the nth.
        func expire(_ nth: Int) { lock.withLock { expired[nth - 1] }() }
    }

    private let file = FileManager.default.temporaryDirectory.appendingPathComponent("lock-\(UUID().uuidString)")
    private let activity = Activity()
    private func lock() -> AppGroupLock { AppGroupLock(file: file, activity: activity) }

    override func tearDown() {
        try? FileManager.default.removeItem(at: file)
    }

    private static func failure(_ call: () throws -> Void) -> LockError? {
        do {
            try call()
            return nil
        } catch {
            return error as? LockError
        }
    }

    func testOneHoldsItAtATime() throws {
        let (first, second) = (lock(), lock())
        XCTAssertFalse(first.isStillHeld())
        try first.acquire(timeout: 1)
        XCTAssertTrue(first.isStillHeld())
        XCTAssertEqual(Self.failure { try second.acquire(timeout: 0.05) }, .timedOut)
        XCTAssertFalse(second.isStillHeld())
        try first.release()
        try first.release()
        XCTAssertFalse(first.isStillHeld())
        try second.acquire(timeout: 1)
        XCTAssertTrue(second.isStillHeld())
        try second.release()
        XCTAssertEqual(activity.running, 0)
    }

    #if os(Linux)
    func testAnotherProcessHoldsItAndTheSystemFreesItWhenThatDies() throws {
        let other = Process()
        other.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let (input, output) = (Pipe(), Pipe())
        other.standardInput = input
        other.standardOutput = output
        // `flock` alone holds it; what it runs ends with its input.
        other.arguments = ["flock", "--close", file.path, "sh", "-c", "echo held; cat"]
        try other.run()
        XCTAssertEqual(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self), "held\n")
        let mine = lock()
        XCTAssertEqual(Self.failure { try mine.acquire(timeout: 0.05) }, .timedOut)
        kill(other.processIdentifier, SIGKILL)
        try mine.acquire(timeout: 10)
        XCTAssertTrue(mine.isStillHeld())
        try mine.release()
        // Only with what it has started is it over for Foundation.
        try input.fileHandleForWriting.close()
        other.waitUntilExit()
    }
    #endif

    func testWhenTheSystemsTimeIsOverItIsGivenBack() throws {
        let (mine, other) = (lock(), lock())
        try mine.acquire(timeout: 1)
        activity.expire()
        XCTAssertFalse(mine.isStillHeld())
        XCTAssertEqual(activity.running, 0)
        try other.acquire(timeout: 1)
        try mine.release()
        XCTAssertTrue(other.isStillHeld(), "what was lost is not given back once more")
        try other.release()
        // An earlier time's end does not end a later one.
        try mine.acquire(timeout: 1)
        activity.expire(1)
        XCTAssertTrue(mine.isStillHeld())
        // Nor is it held any more when its file is not the one that others find.
        try FileManager.default.removeItem(at: file)
        XCTAssertFalse(mine.isStillHeld())
    }

    func testWhoWaitsForItDoesNotKeepItsHolderFromLosingIt() throws {
        let (mine, other) = (lock(), lock())
        let isWaiting = DispatchSemaphore(value: 0)
        activity.begun = { if $0 > 1 { isWaiting.signal() } }
        try mine.acquire(timeout: 1)
        let gotIt = expectation(description: "the one that waited has it")
        Thread.detachNewThread {
            XCTAssertNil(Self.failure { try mine.acquire(timeout: 60) })
            gotIt.fulfill()
        }
        isWaiting.wait()
        activity.expire(1)
        wait(for: [gotIt], timeout: 60)
        XCTAssertTrue(mine.isStillHeld())
        XCTAssertEqual(activity.running, 1)

        // And the time of one that waits ends its waiting, not somebody else's holding.
        let gaveUp = expectation(description: "it does not wait any longer")
        Thread.detachNewThread {
            XCTAssertEqual(Self.failure { try other.acquire(timeout: 600) }, .failed)
            gaveUp.fulfill()
        }
        isWaiting.wait()
        activity.expire(3)
        wait(for: [gaveUp], timeout: 60)
        XCTAssertTrue(mine.isStillHeld())
        try mine.release()
        XCTAssertEqual(activity.running, 0)
    }

    func testWithoutTimeFromTheSystemOrWithoutAFileItCannotBeTaken() {
        activity.isAllowed = false
        XCTAssertEqual(Self.failure { try lock().acquire(timeout: 1) }, .failed)
        activity.isAllowed = true
        let nowhere = AppGroupLock(file: URL(fileURLWithPath: "/nowhere/at/all"), activity: activity)
        XCTAssertEqual(Self.failure { try nowhere.acquire(timeout: 1) }, .failed)
        XCTAssertEqual(activity.running, 0)
    }

    func testLettingGoOfItGivesItBack() throws {
        var mine: AppGroupLock? = lock()
        try mine?.acquire(timeout: 1)
        mine = nil
        XCTAssertEqual(activity.running, 0)
        let other = lock()
        try other.acquire(timeout: 1)
        try other.release()
    }
}
