import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

extension URLSession {
    /// Sends a request with a session's token, and once more if the answer asks for another token or proof.
    ///
    /// The token goes to the request's own origin alone: a redirect there is followed with fresh headers, one to another origin is
    /// refused, and its answer comes back as it is. So does an answer after which a streamed body would have to be sent again. An
    /// `Authorization` or `DPoP` header that the request has is replaced.
    ///
    /// - Throws: ``AuthError`` of the session, among them ``AuthError/configuration(what:details:)`` if the address is not https or not
    ///   one of the client's, and ``AuthError/reauthRequired(reason:details:)`` or ``AuthError/sessionEnded(reason:details:)`` if the user
    ///   has to sign in again; ``StepUpRequired`` if the resource wants the user to show more; `URLError` if the request fails;
    ///   `CancellationError` if the task was cancelled.
    public func data(for request: URLRequest, authorizedBy session: any AuthSession) async throws -> (Data, URLResponse) {
        try await data(for: request, authorizedBy: session, scheme: "https")
    }

    /// The same by another scheme, for tests with a server of their own.
    package func data(
        for request: URLRequest, authorizedBy session: any AuthSession, scheme: String
    ) async throws -> (Data, URLResponse) {
        var request = request
        var redirects = 0
        var isRetry = false
        while true {
            guard let origin = request.url.flatMap({ Origin($0, scheme) }) else {
                throw AuthError.configuration(what: "tokens are sent to https addresses alone")
            }
            let (answer, used) = try await send(request, authorizedBy: session)
            guard let response = answer.response as? HTTPURLResponse else { return (answer.data, answer.response) }
            if let next = answer.redirect {
                guard next.url.flatMap({ Origin($0, scheme) }) == origin else { return (answer.data, response) }
                redirects += 1
                guard redirects <= 10 else { throw URLError(.httpTooManyRedirects) }
                if request.httpBodyStream != nil, next.httpMethod == request.httpMethod { return (answer.data, response) }
                request = next.with(body: request)
                continue
            }
            switch try await session.advise(used: used, status: response.statusCode, headers: response.fields) {
            case .proceed:
                return (answer.data, response)
            case .retry:
                guard !isRetry, request.httpBodyStream == nil else { return (answer.data, response) }
                isRetry = true
            case .stepUp(let demand):
                throw demand
            case .signInAgain:
                // The session says why, if it can.
                _ = try await session.accessToken()
                throw AuthError.reauthRequired(reason: "invalid_token")
            }
        }
    }

    private func send(
        _ request: URLRequest, authorizedBy session: any AuthSession
    ) async throws -> (Answer, any AuthorizationHeaders) {
        guard let url = request.url else { throw URLError(.badURL) }
        let used = try await session.authorize(method: request.httpMethod ?? "GET", url: url)
        var authorized = request
        authorized.setValue(nil, forHTTPHeaderField: "dpop")
        for (name, value) in used.values { authorized.setValue(value, forHTTPHeaderField: name) }
        return (try await answer(to: authorized), used)
    }
}

/// What came back; a redirect was not followed.
private struct Answer: Sendable {
    var data: Data
    var response: URLResponse
    var redirect: URLRequest?
}

/// Where a token may go: host and port, by one scheme.
private struct Origin: Equatable {
    let host: String
    let port: Int

    init?(_ url: URL, _ scheme: String) {
        guard url.scheme?.lowercased() == scheme, let host = url.host?.lowercased() else { return nil }
        self.host = host
        port = url.port ?? 443
    }
}

extension URLRequest {
    /// A redirected request without the old headers of authorization, which belong to another address; its body, if the method stays.
    fileprivate func with(body old: URLRequest) -> URLRequest {
        var request = self
        request.setValue(nil, forHTTPHeaderField: "authorization")
        request.setValue(nil, forHTTPHeaderField: "dpop")
        if request.httpMethod == old.httpMethod, request.httpBody == nil { request.httpBody = old.httpBody }
        return request
    }
}

extension HTTPURLResponse {
    /// Foundation has joined the values of a field that came several times.
    fileprivate var fields: [HeaderField] {
        allHeaderFields.compactMap { name, value in
            guard let name = name as? String, let value = value as? String else { return nil }
            return HeaderField(name: name, value: value)
        }
    }
}

#if canImport(FoundationNetworking)
    extension URLSession {
        /// Foundation on Linux has delegates of sessions alone, and asks them only about tasks without a completion handler: so this is
        /// another session with the same settings.
        fileprivate func answer(to request: URLRequest) async throws -> Answer {
            let asking = OneRequest()
            let session = URLSession(configuration: configuration, delegate: asking, delegateQueue: nil)
            defer { session.finishTasksAndInvalidate() }
            let task = session.dataTask(with: request)
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { asking.start(task, $0) }
            } onCancel: {
                task.cancel()
            }
        }
    }

    /// Collects the answer, and stops at a redirect.
    private final class OneRequest: NSObject, URLSessionDataDelegate, @unchecked Sendable {
        private let lock = NSLock()
        private var data = Data()
        private var redirect: (URLRequest, HTTPURLResponse)?
        private var continuation: CheckedContinuation<Answer, any Error>?
        private var outcome: Result<Answer, any Error>?

        func start(_ task: URLSessionTask, _ continuation: CheckedContinuation<Answer, any Error>) {
            let outcome = lock.withLock {
                if self.outcome == nil { self.continuation = continuation }
                return self.outcome
            }
            // A task that was cancelled before has told that already, or never will: it is not resumed.
            if let outcome { return continuation.resume(with: outcome) }
            task.resume()
        }

        func urlSession(
            _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
            newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
        ) {
            lock.withLock { redirect = (request, response) }
            completionHandler(nil)
        }

        func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
            lock.withLock { self.data.append(data) }
        }

        func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
            let (data, redirect) = lock.withLock { (self.data, self.redirect) }
            let result: Result<Answer, any Error> =
                if let redirect {
                    .success(Answer(data: data, response: redirect.1, redirect: redirect.0))
                } else if let response = task.response, error == nil {
                    .success(Answer(data: data, response: response))
                } else if (error as? URLError)?.code == .cancelled || (error as NSError?)?.code == NSURLErrorCancelled {
                    .failure(CancellationError())
                } else {
                    .failure(error ?? URLError(.unknown))
                }
            let continuation = lock.withLock {
                outcome = result
                defer { self.continuation = nil }
                return self.continuation
            }
            continuation?.resume(with: result)
        }
    }
#else
    extension URLSession {
        fileprivate func answer(to request: URLRequest) async throws -> Answer {
            let stop = RedirectStop()
            do {
                let (data, response) = try await data(for: request, delegate: stop)
                return Answer(data: data, response: response, redirect: stop.redirect)
            } catch let error as URLError where error.code == .cancelled && Task.isCancelled {
                throw CancellationError()
            }
        }
    }

    /// Stops at a redirect. What it does not answer is asked of the session's own delegate.
    private final class RedirectStop: NSObject, URLSessionTaskDelegate, @unchecked Sendable {
        private let lock = NSLock()
        private var stopped: URLRequest?

        var redirect: URLRequest? { lock.withLock { stopped } }

        func urlSession(
            _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
            newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
        ) {
            lock.withLock { stopped = request }
            completionHandler(nil)
        }
    }
#endif
