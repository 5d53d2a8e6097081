package org.directauth.android

/** What is called only where the device has this API level: the check of what is called on older ones leaves it out. */
@Retention(AnnotationRetention.BINARY)
@Target(AnnotationTarget.CLASS, AnnotationTarget.FUNCTION, AnnotationTarget.CONSTRUCTOR)
internal annotation class FromApi(val level: Int)
