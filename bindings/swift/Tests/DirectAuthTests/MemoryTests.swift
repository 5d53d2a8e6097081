#if os(Linux)
    import DirectAuthTesting
    import Foundation
    import XCTest

    /// When a sign-in is over and let go of, nothing secret of it is in the memory of the process that ran it. The C library
    /// overwrites there what Swift frees, as nobody can wipe a `String`; so what this finds is what somebody still holds.
    final class MemoryTests: XCTestCase {
        func testNobodyHoldsAPasswordACodeOrATokenAfterASignIn() async throws {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("memory-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let users = folder.appendingPathComponent("users.toml")
            try """
                client_id = "0oaDemoNativeApp"
                scopes = ["openid", "profile", "offline_access"]
                [[users]]
                username = "ben@example.com"
                name = "Ben"
                password = "\(canary(1))"
                assurance = "2fa"
                factors = ["totp"]
                totp_secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
                """.write(to: users, atomically: true, encoding: .utf8)
            let emulator = try await Emulator.start(arguments: ["--config", users.path])
            defer { emulator.stop() }
            let ca = folder.appendingPathComponent("ca.pem")
            try emulator.caPEM.write(to: ca, atomically: true, encoding: .utf8)

            let child = Process()
            child.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
                .appendingPathComponent("MemoryChild")
            child.arguments = [emulator.issuer, emulator.clientID, try await emulator.totp("ben@example.com"), ca.path]
            child.environment = ProcessInfo.processInfo.environment.merging(
                ["GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"]) { $1 }
            let (input, output) = (Pipe(), Pipe())
            child.standardInput = input
            child.standardOutput = output
            try child.run()
            defer { child.terminate() }
            var said = Data()
            while said.suffix(10) != Data("signed in\n".utf8) {
                let more = output.fileHandleForReading.availableData
                if more.isEmpty { break }
                said += more
            }
            let lines = String(decoding: said, as: UTF8.self).split(separator: "\n")
            XCTAssertEqual(lines.last, "signed in")

            let tokens = lines.compactMap { $0.hasPrefix("token ") ? disguised(String($0.dropFirst(6))) : nil }
            XCTAssertEqual(tokens.map { $0.hasPrefix("ey") }, [true, true])
            let found = try search(child.processIdentifier, [canary(1), canary(2), canary(3), canary(9)] + tokens)
            XCTAssertEqual(found, [0, 0, 0, 1, 0, 0], "password, wrong password, wrong code, what is kept on purpose, tokens")
        }

        /// In how many mappings that can be written each text is.
        private func search(_ process: Int32, _ texts: [String]) throws -> [Int] {
            let memory = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/\(process)/mem"))
            var found = Array(repeating: 0, count: texts.count)
            for mapping in try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8).split(separator: "\n") {
                let parts = mapping.split(separator: " ")
                let range = parts[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
                guard parts[1].hasPrefix("rw"), range.count == 2, range[1] - range[0] < 1 << 30 else { continue }
                try memory.seek(toOffset: range[0])
                guard let bytes = try? memory.read(upToCount: Int(range[1] - range[0])) else { continue }
                for (index, text) in texts.enumerated() where bytes.range(of: Data(text.utf8)) != nil { found[index] += 1 }
            }
            return found
        }

        /// As in the child.
        private func canary(_ seed: Int) -> String {
            var letter = seed * 7919
            return String(
                (0..<24).map { _ in
                    letter = (letter * 1_103_515_245 + 12345) & 0x7fff_ffff
                    return Character(UnicodeScalar(UInt8(97 + (letter >> 16) % 26)))
                })
        }

        private func disguised(_ text: String) -> String {
            String(decoding: text.utf8.map { $0 ^ 1 }, as: UTF8.self)
        }
    }
#endif
