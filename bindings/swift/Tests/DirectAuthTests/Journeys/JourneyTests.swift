import XCTest

/// The vectors that all languages share, on the real library. `VECTOR=NAME` in the environment plays one of them, or one file.
final class JourneyTests: LibraryTestCase {
    func testVectorsGiveWhatTheySay() async throws {
        let only = ProcessInfo.processInfo.environment["VECTOR"]
        let vectors = try Vector.all().filter { $0.beyond.isEmpty && (only == nil || $0.id == only || $0.file == only) }
        var failed = 0
        for vector in vectors {
            do {
                try await Play(vector).play()
            } catch {
                failed += 1
                XCTFail("\(vector.file) \(vector.id): \(error)")
            }
        }
        print("vectors: \(vectors.count - failed) passed, \(failed) failed")
        XCTAssertFalse(vectors.isEmpty)
    }

    func testEveryJourneyIsPlayedAndWhatIsLeftOutIsKnown() throws {
        let vectors = try Vector.all()
        let beyond = vectors.filter { !$0.beyond.isEmpty }
        XCTAssertEqual(beyond.filter { $0.file == "journeys.json" }.map { "\($0.id): \($0.beyond)" }, [])
        let words = Dictionary(beyond.flatMap(\.beyond).map { ($0, 1) }, uniquingKeysWith: +)
        let list = words.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
        print("vectors: \(vectors.count - beyond.count) of \(vectors.count) can be played; left out for \(list.joined(separator: ", "))")
        // What looks into requests, stops inside a call, or needs a lock, a clock or a server of its own is for the core's own runner.
        let known: Set<String> = [
            "expect: sent", "when_sent", "expect: other_host_requests", "config: lock", "when_asked", "at_once", "dies_after_writes",
            "loses_lock", "reboots", "boot_clock_back_s", "keys fixed",
        ]
        XCTAssertEqual(Set(words.keys.filter { !$0.hasPrefix("{") }), known)
        XCTAssertLessThan(beyond.count * 4, vectors.count, "three quarters are played at least")
    }
}
