// NOT EXERCISED: no machine that this was written on has an Android SDK. Maven and Robolectric run the same sources: see README.md.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        // What scripts/package has left; -Pdirectauth.repository=… names another folder.
        maven { url = uri(providers.gradleProperty("directauth.repository").getOrElse("../target/package/maven")) }
        google()
        mavenCentral()
    }
}

rootProject.name = "directauth-sample"
include(":app")
