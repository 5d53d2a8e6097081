#if canImport(os)
    import DirectAuthAPI
    import os

    /// The system's log, in one subsystem. The lines hold no secret.
    public struct OSLogSink: LogSink {
        private let logger: Logger

        /// - Parameters:
        ///   - subsystem: by which the lines are found, such as the app's bundle identifier.
        ///   - category: the same, below it.
        public init(subsystem: String = "org.directauth", category: String = "DirectAuth") {
            logger = Logger(subsystem: subsystem, category: category)
        }

        public func log(_ level: LogLevel, _ line: String) {
            switch level {
            case .error: logger.error("\(line, privacy: .public)")
            case .warn: logger.warning("\(line, privacy: .public)")
            case .info: logger.info("\(line, privacy: .public)")
            case .debug: logger.debug("\(line, privacy: .public)")
            }
        }
    }
#endif
