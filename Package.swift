// swift-tools-version: 6.0

// The Swift package. Its generated part is made by `scripts/generate-bindings`, which also builds the native library.
//
// With DIRECTAUTH_TEST_BUILD=1 in the environment the native library is the test build (bindings/test-build), and the tests that
// need it are there: `scripts/generate-bindings --tests` makes what they use. A process holds one of the two libraries, never both.

import Foundation
import PackageDescription

let testBuild = ProcessInfo.processInfo.environment["DIRECTAUTH_TEST_BUILD"] == "1"

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
        .systemLibrary(name: "DirectAuthFFI", path: "bindings/swift/Generated/DirectAuthFFI"),
        .target(
            name: "DirectAuthCore",
            dependencies: ["DirectAuthFFI"],
            path: "bindings/swift/Generated/DirectAuthCore",
            linkerSettings: [.linkedLibrary(testBuild ? "directauth_ffi_test" : "directauth_ffi")]
        ),
        .target(
            name: "DirectAuth",
            dependencies: ["DirectAuthAPI", "DirectAuthCore"],
            path: "bindings/swift/Sources/DirectAuth"
        ),
        // What the platform keeps: storage, keys, passkeys.
        .target(name: "DirectAuthDevice", dependencies: ["DirectAuthAPI"], path: "bindings/swift/Sources/DirectAuthDevice"),
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
