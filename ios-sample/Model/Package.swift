// swift-tools-version: 6.0

// What the app shows and does, without a view: so it is tested on plain Linux too. The Xcode project takes it as a local package.

import PackageDescription

let package = Package(
    name: "SampleModel",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "SampleModel", targets: ["SampleModel"])],
    dependencies: [.package(name: "DirectAuth", path: "../..")],
    targets: [
        .target(name: "SampleModel", dependencies: [.product(name: "DirectAuthAPI", package: "DirectAuth")]),
        .testTarget(
            name: "SampleModelTests",
            dependencies: [
                "SampleModel",
                .product(name: "DirectAuth", package: "DirectAuth"),
                .product(name: "DirectAuthTesting", package: "DirectAuth"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)
