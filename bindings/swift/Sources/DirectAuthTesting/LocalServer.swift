// How the emulator is reached: over TLS, by its own certificate authority alone.

import Foundation

/// A server whose certificates one authority vouches for.
package final class LocalServer: Sendable {
    /// Whom to believe.
    enum Trust: Sendable {
        /// The authority of a PEM text, and no other.
        case authority(pem: String)
        /// Whoever answers: only to ask a server on this machine which authority it has.
        case anybody
    }

    package struct Answer: Sendable {
        package var status: Int
        /// In their order, a field that came several times as often.
        package var headers: [(name: String, value: String)]
        package var body: Data
    }

    private let connection: Connection

    init(_ trust: Trust) {
        connection = Connection(trust)
    }

    package convenience init(authority pem: String) {
        self.init(.authority(pem: pem))
    }

    package func send(
        _ method: String, _ url: String, headers: [String: String] = [:], body: Data? = nil
    ) async throws -> Answer {
        try await connection.send(method, url, headers: headers, body: body)
    }
}

/// The emulator cannot be started or reached, or refuses what it was told.
public struct EmulatorError: Error, CustomStringConvertible, LocalizedError, Sendable {
    /// What is wrong.
    public let description: String
    public var errorDescription: String? { description }

    init(_ description: String) {
        self.description = description
    }
}

#if canImport(Security)
    import Security

    /// URLSession, whose delegate decides whom to trust.
    private final class Connection: NSObject, URLSessionDelegate, Sendable {
        private let trust: LocalServer.Trust

        init(_ trust: LocalServer.Trust) {
            self.trust = trust
        }

        func send(_ method: String, _ url: String, headers: [String: String], body: Data?) async throws -> LocalServer.Answer {
            guard let url = URL(string: url) else { throw EmulatorError("\(url) is no address") }
            var request = URLRequest(url: url, timeoutInterval: 30)
            request.httpMethod = method
            request.httpBody = body
            for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
            let session = URLSession(configuration: .ephemeral, delegate: self, delegateQueue: nil)
            defer { session.finishTasksAndInvalidate() }
            let (data, response) = try await session.data(for: request)
            guard let response = response as? HTTPURLResponse else { throw EmulatorError("no answer of HTTP from \(url)") }
            let fields = response.allHeaderFields.compactMap { name, value in
                (name as? String).flatMap { name in (value as? String).map { (name: name, value: $0) } }
            }
            return LocalServer.Answer(status: response.statusCode, headers: fields, body: data)
        }

        func urlSession(
            _ session: URLSession, didReceive challenge: URLAuthenticationChallenge,
            completionHandler: @escaping @Sendable (URLSession.AuthChallengeDisposition, URLCredential?) -> Void
        ) {
            guard let server = challenge.protectionSpace.serverTrust, isTrusted(server) else {
                return completionHandler(.cancelAuthenticationChallenge, nil)
            }
            completionHandler(.useCredential, URLCredential(trust: server))
        }

        private func isTrusted(_ server: SecTrust) -> Bool {
            switch trust {
            case .anybody:
                return true
            case .authority(let pem):
                let base64 = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
                guard let der = Data(base64Encoded: base64, options: .ignoreUnknownCharacters),
                    let authority = SecCertificateCreateWithData(nil, der as CFData)
                else { return false }
                return SecTrustSetAnchorCertificates(server, [authority] as CFArray) == errSecSuccess
                    && SecTrustSetAnchorCertificatesOnly(server, true) == errSecSuccess
                    && SecTrustEvaluateWithError(server, nil)
            }
        }
    }
#else
    import CLibcurl

    /// libcurl: Foundation on Linux is built on it, and cannot be told whom to trust.
    private final class Connection: @unchecked Sendable {
        private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK
        private static let queue = DispatchQueue(label: "org.directauth.testing.http", attributes: .concurrent)

        private let trust: LocalServer.Trust
        private let lock = NSLock()
        /// Used by one call at a time; it keeps its connection.
        private let handle: UnsafeMutableRawPointer?

        init(_ trust: LocalServer.Trust) {
            self.trust = trust
            handle = Self.isReady ? curl_easy_init() : nil
        }

        deinit {
            if let handle { curl_easy_cleanup(handle) }
        }

        func send(_ method: String, _ url: String, headers: [String: String], body: Data?) async throws -> LocalServer.Answer {
            try await withCheckedThrowingContinuation { continuation in
                Self.queue.async { [self] in
                    continuation.resume(with: Result { try lock.withLock { try perform(method, url, headers, body) } })
                }
            }
        }

        private func perform(
            _ method: String, _ url: String, _ headers: [String: String], _ body: Data?
        ) throws -> LocalServer.Answer {
            guard let handle else { throw EmulatorError("libcurl cannot be used") }
            curl_easy_reset(handle)
            var problems: [CURLcode] = [
                shim_set_text(handle, CURLOPT_URL, url),
                shim_set_text(handle, CURLOPT_PROXY, ""),
                shim_set_text(handle, CURLOPT_PROTOCOLS_STR, "https"),
                shim_set_text(handle, CURLOPT_CUSTOMREQUEST, method),
                shim_set_number(handle, CURLOPT_NOSIGNAL, 1),
                shim_set_number(handle, CURLOPT_CONNECTTIMEOUT, 10),
                shim_set_number(handle, CURLOPT_TIMEOUT, 30),
            ]
            switch trust {
            case .authority(let pem):
                let bytes = Array(pem.utf8)
                problems.append(shim_set_authorities(handle, bytes, bytes.count))
            case .anybody:
                problems.append(shim_set_number(handle, CURLOPT_SSL_VERIFYPEER, 0))
                problems.append(shim_set_number(handle, CURLOPT_SSL_VERIFYHOST, 0))
            }
            if let body {
                problems.append(shim_set_number(handle, CURLOPT_POSTFIELDSIZE, body.count))
                var bytes = Array(body) + [0]
                problems.append(shim_set_pointer(handle, CURLOPT_COPYPOSTFIELDS, &bytes))
            }
            var fields: UnsafeMutablePointer<curl_slist>?
            defer { curl_slist_free_all(fields) }
            for (name, value) in headers { fields = curl_slist_append(fields, "\(name): \(value)") }
            problems.append(shim_set_pointer(handle, CURLOPT_HTTPHEADER, fields))
            let received = Received()
            let context = Unmanaged.passUnretained(received).toOpaque()
            problems.append(
                shim_set_body_receiver(handle, { Received.take(\.body, $0, $1, $2, $3) }, context))
            problems.append(
                shim_set_header_receiver(handle, { Received.take(\.head, $0, $1, $2, $3) }, context))
            if problems.contains(where: { $0 != CURLE_OK }) { throw EmulatorError("libcurl is too old, or has no TLS") }
            let result = withExtendedLifetime(received) { curl_easy_perform(handle) }
            guard result == CURLE_OK else {
                throw EmulatorError("\(method) \(url): \(String(cString: curl_easy_strerror(result)))")
            }
            var status = 0
            _ = shim_status(handle, &status)
            return LocalServer.Answer(status: status, headers: received.fields, body: received.body)
        }
    }

    private final class Received {
        var head = Data()
        var body = Data()

        static func take(
            _ part: ReferenceWritableKeyPath<Received, Data>, _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int,
            _ context: UnsafeMutableRawPointer?
        ) -> Int {
            guard let bytes, let context else { return 0 }
            Unmanaged<Received>.fromOpaque(context).takeUnretainedValue()[keyPath: part].append(Data(bytes: bytes, count: size * count))
            return size * count
        }

        var fields: [(name: String, value: String)] {
            String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline).compactMap { line in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                return (
                    name: String(line[..<colon]),
                    value: line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                )
            }
        }
    }
#endif
