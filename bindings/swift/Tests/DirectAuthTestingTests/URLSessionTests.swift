import DirectAuthAPI
import DirectAuthTesting
import XCTest

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Requests with a session's token: to a server that is a `URLProtocol`, and where it redirects, which that cannot on Linux, to one of
/// HTTP.
final class URLSessionTests: XCTestCase {
    private func session(_ answer: @escaping @Sendable (URLRequest) -> Answer) -> URLSession {
        Server.start(answer)
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [Server.self]
        return URLSession(configuration: configuration)
    }

    private func request(_ address: String = "https://api.acme.com/me") throws -> URLRequest {
        URLRequest(url: try XCTUnwrap(URL(string: address)))
    }

    func testARequestCarriesTheTokenAndTheAnswerIsTheApps() async throws {
        let session = FakeSession()
        let server = self.session { _ in Answer(200, "hello") }
        let (data, response) = try await server.data(for: request(), authorizedBy: session)
        XCTAssertEqual(String(decoding: data, as: UTF8.self), "hello")
        XCTAssertEqual((response as? HTTPURLResponse)?.statusCode, 200)
        XCTAssertEqual(Server.seen.map { $0.value(forHTTPHeaderField: "Authorization") }, ["Bearer fake-access-token-0"])
    }

    func testARefusedTokenIsSentOnceMoreAndNotTwice() async throws {
        let session = FakeSession()
        let server = self.session { _ in Answer(401, "") }
        let (_, response) = try await server.data(for: request(), authorizedBy: session)
        XCTAssertEqual((response as? HTTPURLResponse)?.statusCode, 401)
        XCTAssertEqual(
            Server.seen.map { $0.value(forHTTPHeaderField: "Authorization") },
            ["Bearer fake-access-token-0", "Bearer fake-access-token-1"])
    }

    func testAStepUpIsThrownWithWhatIsDemanded() async throws {
        let session = FakeSession()
        session.advice = [.stepUp(StepUpRequired(acrValues: ["phr"], maxAge: 60))]
        let server = self.session { _ in Answer(401, "") }
        do {
            _ = try await server.data(for: request(), authorizedBy: session)
            XCTFail("no error")
        } catch let demand as StepUpRequired {
            XCTAssertEqual(demand, StepUpRequired(acrValues: ["phr"], maxAge: 60))
        }
    }

    func testASessionThatIsOverIsAnAuthError() async throws {
        let session = FakeSession()
        session.advice = [.signInAgain]
        let server = self.session { _ in Answer(401, "") }
        do {
            _ = try await server.data(for: request(), authorizedBy: session)
            XCTFail("no error")
        } catch let error as AuthError {
            XCTAssertEqual(error.remedy, .signInAgain)
        }
    }

    func testNothingIsSentWithoutTLSOrToAnotherOriginThanTheClients() async throws {
        let session = FakeSession(origins: ["https://api.acme.com"])
        let server = self.session { _ in Answer(200, "") }
        for address in ["http://api.acme.com/me", "https://evil.example/me", "https://api.acme.com:8443/me"] {
            do {
                _ = try await server.data(for: request(address), authorizedBy: session)
                XCTFail("no error for \(address)")
            } catch AuthError.configuration {}
        }
        XCTAssertEqual(Server.seen.count, 0)
    }

    func testARedirectToTheSameOriginGetsFreshHeaders() async throws {
        let session = Proving()
        let server = try HTTPServer { $0.hasPrefix("GET /me") ? "307 Temporary Redirect\r\nLocation: /you" : "200 OK" }
        let (_, response) = try await URLSession.shared.data(for: request(server.address + "/me"), authorizedBy: session, scheme: "http")
        XCTAssertEqual((response as? HTTPURLResponse)?.statusCode, 200)
        XCTAssertEqual(server.seen.map { $0.prefix(8) }, ["GET /me ", "GET /you"])
        XCTAssertEqual(server.seen.map { values(of: "authorization", in: $0) }, [["DPoP token-1"], ["DPoP token-2"]])
        XCTAssertEqual(server.seen.map { values(of: "dpop", in: $0) }, [["GET /me 1"], ["GET /you 2"]])
    }

    func testARedirectThatKeepsTheMethodKeepsTheBodyAndAnotherDoesNot() async throws {
        for (status, method) in [("307 Temporary Redirect", "PUT"), ("303 See Other", "GET")] {
            let server = try HTTPServer { $0.contains(" /me ") ? "\(status)\r\nLocation: /you" : "200 OK" }
            var request = try request(server.address + "/me")
            request.httpMethod = "PUT"
            request.httpBody = Data("the body".utf8)
            let (_, response) = try await URLSession.shared.data(for: request, authorizedBy: Proving(), scheme: "http")
            XCTAssertEqual((response as? HTTPURLResponse)?.statusCode, 200)
            XCTAssertEqual(server.seen.map { $0.hasSuffix("the body") }, [true, method == "PUT"])
            XCTAssertTrue(server.seen.last?.hasPrefix("\(method) /you ") ?? false, "\(server.seen)")
        }
    }

    func testAStreamedBodyIsSentOnce() async throws {
        for status in ["307 Temporary Redirect\r\nLocation: /you", "401 Unauthorized"] {
            let server = try HTTPServer { _ in status }
            var request = try request(server.address + "/me")
            request.httpMethod = "PUT"
            request.httpBodyStream = InputStream(data: Data("the body".utf8))
            request.setValue("8", forHTTPHeaderField: "Content-Length")
            let (_, response) = try await URLSession.shared.data(for: request, authorizedBy: Proving(), scheme: "http")
            XCTAssertEqual((response as? HTTPURLResponse)?.statusCode, status.hasPrefix("307") ? 307 : 401)
            XCTAssertEqual(server.seen.count, 1)
        }
    }

    func testWhatTheRequestHasOfAnotherAuthorizationIsReplaced() async throws {
        let server = self.session { _ in Answer(200, "") }
        var request = try request()
        request.setValue("Basic aHVudGVyMg", forHTTPHeaderField: "Authorization")
        request.setValue("an old proof", forHTTPHeaderField: "DPoP")
        _ = try await server.data(for: request, authorizedBy: FakeSession())
        XCTAssertEqual(Server.seen.map { $0.value(forHTTPHeaderField: "Authorization") }, ["Bearer fake-access-token-0"])
        XCTAssertNil(Server.seen.first?.value(forHTTPHeaderField: "DPoP"))
    }

    func testARedirectToAnotherOriginIsRefusedAndGetsNothing() async throws {
        let session = FakeSession()
        session.allow(scheme: "http")
        let other = try HTTPServer { _ in "200 OK" }
        let server = try HTTPServer { [address = other.address] _ in "302 Found\r\nLocation: \(address)/you" }
        let (_, response) = try await URLSession.shared.data(for: request(server.address + "/me"), authorizedBy: session, scheme: "http")
        XCTAssertEqual((response as? HTTPURLResponse)?.statusCode, 302)
        XCTAssertEqual(server.seen.count, 1)
        XCTAssertEqual(other.seen, [])
    }

    func testARedirectInCirclesEnds() async throws {
        let session = FakeSession()
        session.allow(scheme: "http")
        let server = try HTTPServer { _ in "302 Found\r\nLocation: /me" }
        do {
            _ = try await URLSession.shared.data(for: request(server.address + "/me"), authorizedBy: session, scheme: "http")
            XCTFail("no error")
        } catch let error as URLError {
            XCTAssertEqual(error.code, .httpTooManyRedirects)
        }
        XCTAssertEqual(server.seen.count, 11)
    }

    private func values(of header: String, in request: String) -> [String] {
        request.split(whereSeparator: \.isNewline).filter { $0.lowercased().hasPrefix("\(header):") }
            .map { $0.dropFirst(header.count + 1).trimmingCharacters(in: .whitespaces) }
    }

    func testACancelledRequestThrowsTheLanguagesOwnError() async throws {
        let session = FakeSession()
        let server = self.session { _ in .never }
        let request = try request()
        let call = Task { _ = try await server.data(for: request, authorizedBy: session) }
        while Server.seen.isEmpty { try await Task.sleep(nanoseconds: 1_000_000) }
        call.cancel()
        do {
            try await call.value
            XCTFail("no error")
        } catch is CancellationError {}
    }
}

/// A session whose headers say for which request, and for which time of asking, they are.
private final class Proving: AuthSession, @unchecked Sendable {
    private let fake = FakeSession()
    private let lock = NSLock()
    private var asked = 0

    private final class Headers: AuthorizationHeaders {
        let values: [String: String]

        init(_ values: [String: String]) {
            self.values = values
        }
    }

    var id: String { fake.id }
    var username: String { fake.username }
    var claims: (any Claims)? { fake.claims }
    var grantedScopes: [String] { fake.grantedScopes }
    var expiresAt: Date { fake.expiresAt }
    var isPersisted: Bool { fake.isPersisted }
    var canRefresh: Bool { fake.canRefresh }
    var isDPoPBound: Bool { true }

    func accessToken() async throws -> String { try await fake.accessToken() }

    func idToken() -> String? { fake.idToken() }

    func refresh() async throws { try await fake.refresh() }

    func authorize(method: String, url: URL) async throws -> any AuthorizationHeaders {
        let number = lock.withLock {
            asked += 1
            return asked
        }
        return Headers(["authorization": "DPoP token-\(number)", "dpop": "\(method) \(url.path) \(number)"])
    }

    func advise(used: any AuthorizationHeaders, status: Int, headers: [HeaderField]) async throws -> Advice {
        try await fake.advise(used: used, status: status, headers: headers)
    }

    func stepUp(acrValues: [String], maxAge: TimeInterval?) -> any SignIn { fake.stepUp(acrValues: acrValues, maxAge: maxAge) }

    func userInfo() async throws -> any Claims { try await fake.userInfo() }

    func introspect(_ token: SessionToken) async throws -> Introspection { try await fake.introspect(token) }

    func signOut() async throws -> SignOutResult { try await fake.signOut() }
}

private struct Answer: Sendable {
    var status: Int
    var body: String

    init(_ status: Int, _ body: String) {
        self.status = status
        self.body = body
    }

    static let never = Answer(0, "")
}

private final class Server: URLProtocol, @unchecked Sendable {
    private struct State {
        var answer: @Sendable (URLRequest) -> Answer = { _ in Answer(200, "") }
        var seen: [URLRequest] = []
    }

    private static let lock = NSLock()
    nonisolated(unsafe) private static var state = State()

    static func start(_ answer: @escaping @Sendable (URLRequest) -> Answer) {
        lock.withLock { state = State(answer: answer) }
    }

    static var seen: [URLRequest] { lock.withLock { state.seen } }

    override class func canInit(with request: URLRequest) -> Bool { true }

    override class func canonicalRequest(for request: URLRequest) -> URLRequest { request }

    override func startLoading() {
        let answer = Self.lock.withLock {
            Self.state.seen.append(request)
            return Self.state.answer
        }(request)
        guard answer.status != 0, let url = request.url else { return }
        guard let response = HTTPURLResponse(url: url, statusCode: answer.status, httpVersion: "HTTP/1.1", headerFields: nil) else {
            return
        }
        client?.urlProtocol(self, didReceive: response, cacheStoragePolicy: .notAllowed)
        client?.urlProtocol(self, didLoad: Data(answer.body.utf8))
        client?.urlProtocolDidFinishLoading(self)
    }

    override func stopLoading() {}
}

/// Answers each request, on a connection of its own, with a status line and headers.
private final class HTTPServer: @unchecked Sendable {
    let address: String
    private let listener: Int32
    private let lock = NSLock()
    private var requests: [String] = []

    var seen: [String] { lock.withLock { requests } }

    init(_ answer: @escaping @Sendable (String) -> String) throws {
        #if canImport(Glibc)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let listener = socket(AF_INET, stream, 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isUp = withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 8) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        self.listener = listener
        address = "http://127.0.0.1:\(UInt16(bigEndian: name.sin_port))"
        guard isUp else { throw URLError(.cannotConnectToHost) }
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                var request = ""
                var bytes = [UInt8](repeating: 0, count: 4096)
                while !isWhole(request) {
                    let count = read(connection, &bytes, bytes.count)
                    if count <= 0 { break }
                    request += String(decoding: bytes[..<count], as: UTF8.self)
                }
                self?.lock.withLock { self?.requests.append(request) }
                let response = Array("HTTP/1.1 \(answer(request))\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8)
                _ = write(connection, response, response.count)
                close(connection)
            }
        }
    }

    deinit {
        shutdown(listener, Int32(2))
        close(listener)
    }
}

/// Whether a request has come with its body, as long as it says.
private func isWhole(_ request: String) -> Bool {
    guard let end = request.range(of: "\r\n\r\n") else { return false }
    let length = request[..<end.lowerBound].lowercased().components(separatedBy: "content-length:").dropFirst().first
        .flatMap { Int($0.prefix { $0 != "\r\n" }.trimmingCharacters(in: .whitespaces)) }
    return request[end.upperBound...].utf8.count >= length ?? 0
}
