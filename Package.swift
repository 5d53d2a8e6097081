// swift-tools-version: 6.0

// The Swift package. Its generated part is made by `scripts/generate-bindings`, which also builds the native library.
//
// Where the native library is, in this order: the XCFramework of a release, by its address and checksum; one that
// `scripts/build-xcframework` has made beside this file (SwiftPM keeps what it has read: `swift package purge-cache`); on Linux, and
// for tests on a Mac, what cargo has built.
//
// With DIRECTAUTH_TEST_BUILD=1 in the environment the native library is the test build (bindings/test-build), and the tests that
// need it are there: `scripts/generate-bindings --tests` makes what they use. A process holds one of the two libraries, never both.

import Foundation
import PackageDescription

let testBuild = ProcessInfo.processInfo.environment["DIRECTAUTH_TEST_BUILD"] == "1"

/// Filled in by `scripts/package --release`; nil in the repository.
let release: (url: String, checksum: String)? = nil

let xcframework = "DirectAuthFFI.xcframework"

#if os(Linux)
    let isBinary = false
#else
    let isLocal = FileManager.default.fileExists(atPath: Context.packageDirectory + "/" + xcframework)
    let isBinary = !testBuild && (release != nil || isLocal)
#endif

let nativeLibrary: Target =
    if !isBinary {
        .systemLibrary(name: "DirectAuthFFI", path: "bindings/swift/Generated/DirectAuthFFI")
    } else if let release {
        .binaryTarget(name: "DirectAuthFFI", url: release.url, checksum: release.checksum)
    } else {
        .binaryTarget(name: "DirectAuthFFI", path: xcframework)
    }

let package = Package(
    name: "DirectAuth",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [
        .library(name: "DirectAuth", targets: ["DirectAuth"]),
        .library(name: "DirectAuthAPI", targets: ["DirectAuthAPI"]),
        .library(name: "DirectAuthDevice", targets: ["DirectAuthDevice"]),
        .library(name: "DirectAuthTesting", targets: ["DirectAuthTesting"]),
    ],
    targets: [
        // What an app programs against: protocols and values, without native code.
        .target(name: "DirectAuthAPI", path: "bindings/swift/Sources/DirectAuthAPI"),
        nativeLibrary,
        .target(
            name: "DirectAuthCore",
            dependencies: ["DirectAuthFFI"],
            path: "bindings/swift/Generated/DirectAuthCore",
            linkerSettings: isBinary ? [] : [.linkedLibrary(testBuild ? "directauth_ffi_test" : "directauth_ffi")]
        ),
        .target(
            name: "DirectAuth",
            dependencies: ["DirectAuthAPI", "DirectAuthCore"],
            path: "bindings/swift/Sources/DirectAuth"
        ),
        // What the platform keeps: storage, keys, passkeys.
        .target(
            name: "DirectAuthDevice",
            dependencies: ["DirectAuthAPI"],
            path: "bindings/swift/Sources/DirectAuthDevice",
            resources: [.copy("PrivacyInfo.xcprivacy")]
        ),
        // For apps' own tests.
        .target(
            name: "DirectAuthTesting",
            dependencies: [
                "DirectAuthAPI",
                .target(name: "CLibcurl", condition: .when(platforms: [.linux])),
            ],
            path: "bindings/swift/Sources/DirectAuthTesting",
            resources: [.embedInCode("Journeys")]
        ),
        // On Linux Foundation cannot be told whom to trust; what is below it there can.
        .systemLibrary(name: "CLibcurl", path: "bindings/swift/Sources/CLibcurl"),
        .testTarget(name: "DirectAuthSmokeTests", dependencies: ["DirectAuth"], path: "bindings/swift/Tests/DirectAuthSmokeTests"),
        .testTarget(
            name: "DirectAuthDeviceTests",
            dependencies: ["DirectAuthDevice", "DirectAuthTesting"],
            path: "bindings/swift/Tests/DirectAuthDeviceTests"
        ),
        .testTarget(
            name: "DirectAuthTestingTests",
            dependencies: ["DirectAuthAPI", "DirectAuthTesting"],
            path: "bindings/swift/Tests/DirectAuthTestingTests"
        ),
    ],
    swiftLanguageModes: [.v6]
)

if testBuild {
    package.targets += [
        .systemLibrary(name: "DirectAuthTestFFI", path: "bindings/swift/Generated/DirectAuthTestFFI"),
        .target(
            name: "DirectAuthTestCore",
            dependencies: ["DirectAuthCore", "DirectAuthTestFFI"],
            path: "bindings/swift/Generated/DirectAuthTestCore"
        ),
        .executableTarget(
            name: "ReadmeProgram",
            dependencies: ["DirectAuth", "DirectAuthTesting"],
            path: "bindings/swift/Tests/ReadmeProgram"
        ),
        .executableTarget(
            name: "MemoryChild",
            dependencies: ["DirectAuth", "DirectAuthTesting"],
            path: "bindings/swift/Tests/MemoryChild"
        ),
        .executableTarget(
            name: "CallOverhead",
            dependencies: ["DirectAuthCore", "DirectAuthTestCore", "DirectAuthTesting"],
            path: "bindings/swift/Tests/CallOverhead"
        ),
        .testTarget(
            name: "DirectAuthTests",
            dependencies: ["DirectAuth", "DirectAuthTesting", "DirectAuthTestCore", "MemoryChild", "ReadmeProgram"],
            path: "bindings/swift/Tests/DirectAuthTests"
        ),
    ]
}
