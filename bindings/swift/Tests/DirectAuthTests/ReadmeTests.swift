import Foundation
import XCTest

/// The README's program is the one that is built here, and it does what it says.
final class ReadmeTests: XCTestCase {
    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../../..").standardizedFileURL

    func testTheReadmesProgramIsTheOneThatIsCompiledHere() throws {
        let program = try String(
            contentsOf: root.appendingPathComponent("bindings/swift/Tests/ReadmeProgram/main.swift"), encoding: .utf8)
        let readme = try String(contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
        XCTAssertTrue(readme.contains("```swift\n\(program)```\n"), "README.md does not have main.swift as it is")
        XCTAssertLessThanOrEqual(program.split(separator: "\n", omittingEmptySubsequences: false).count, 33)
    }

    func testItSignsInAndOut() throws {
        let process = Process()
        #if canImport(Darwin)
            // The tests are a bundle there, which a program of Xcode runs.
            let built = Bundle(for: Self.self).bundleURL.deletingLastPathComponent()
        #else
            let built = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        #endif
        process.executableURL = built.appendingPathComponent("ReadmeProgram")
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let printed = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        XCTAssertEqual(process.terminationStatus, 0)
        XCTAssertEqual(String(decoding: printed, as: UTF8.self), "signed in: Ana Ibarra\nsigned out: revoked\n")
    }
}
