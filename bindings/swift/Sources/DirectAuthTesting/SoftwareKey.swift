// A key on P-256 for tests: CryptoKit's on Apple platforms; on Linux, where Swift itself has none, made by the program `openssl`.

import Foundation

#if canImport(CryptoKit)
    import CryptoKit

    package final class SoftwareKey: @unchecked Sendable {
        // Never changed; SDK 18 does not say of it that it is Sendable.
        private let key = P256.Signing.PrivateKey()

        package init() throws {}

        /// An uncompressed point of 65 bytes.
        package var point: Data { key.publicKey.x963Representation }

        /// A DER SubjectPublicKeyInfo.
        package var document: Data { key.publicKey.derRepresentation }

        /// ECDSA with SHA-256, as DER.
        package func sign(_ message: Data) throws -> Data { try key.signature(for: message).derRepresentation }

        package static func sha256(_ data: Data) throws -> Data { Data(SHA256.hash(data: data)) }
    }
#else
    package final class SoftwareKey: Sendable {
        private let file: URL
        /// A DER SubjectPublicKeyInfo.
        package let document: Data

        package init() throws {
            file = FileManager.default.temporaryDirectory.appendingPathComponent("directauth-key-\(UUID().uuidString).pem")
            try Self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file.path)
            document = try Self.openssl("pkey", "-in", file.path, "-pubout", "-outform", "DER")
        }

        deinit {
            try? FileManager.default.removeItem(at: file)
        }

        /// An uncompressed point of 65 bytes, which ends that document.
        package var point: Data { Data(document.suffix(65)) }

        /// ECDSA with SHA-256, as DER.
        package func sign(_ message: Data) throws -> Data { try Self.openssl("dgst", "-sha256", "-sign", file.path, input: message) }

        package static func sha256(_ data: Data) throws -> Data { try openssl("dgst", "-sha256", "-binary", input: data) }

        @discardableResult
        private static func openssl(_ arguments: String..., input: Data = Data()) throws -> Data {
            let process = Process()
            let (stdin, stdout) = (Pipe(), Pipe())
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["openssl"] + arguments
            process.standardInput = stdin
            process.standardOutput = stdout
            process.standardError = FileHandle.nullDevice
            try process.run()
            // Both are far smaller than what a pipe holds.
            try stdin.fileHandleForWriting.write(contentsOf: input)
            try stdin.fileHandleForWriting.close()
            let output = try stdout.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else { throw EmulatorError("openssl \(arguments[0]) failed, or is not installed") }
            return output
        }
    }
#endif
