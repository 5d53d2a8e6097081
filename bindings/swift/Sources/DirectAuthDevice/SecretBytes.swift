import Foundation

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Bytes that are in one place, and are wiped when nobody holds them any more. `Data` cannot be: it is copied when it is written to.
final class SecretBytes: ContiguousBytes, @unchecked Sendable {
    // Written by the initialisers alone.
    private let buffer: UnsafeMutableRawBufferPointer

    private init(count: Int) {
        buffer = .allocate(byteCount: count, alignment: 1)
    }

    convenience init(_ data: Data) {
        self.init(count: data.count)
        _ = data.copyBytes(to: buffer)
    }

    static func random(count: Int) -> SecretBytes {
        let bytes = SecretBytes(count: count)
        var generator = SystemRandomNumberGenerator()
        for place in bytes.buffer.indices { bytes.buffer[place] = generator.next() }
        return bytes
    }

    deinit {
        // These two are not optimised away.
        #if canImport(Darwin)
            _ = memset_s(buffer.baseAddress, buffer.count, 0, buffer.count)
        #else
            if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) }
        #endif
        buffer.deallocate()
    }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(buffer)) }
    }

    /// The same bytes as what the keychain takes, without a copy; valid during the call.
    func asData<R>(_ body: (Data) throws -> R) rethrows -> R {
        guard let start = buffer.baseAddress else { return try body(Data()) }
        return try withExtendedLifetime(self) { try body(Data(bytesNoCopy: start, count: buffer.count, deallocator: .none)) }
    }
}
