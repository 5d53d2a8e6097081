package org.directauth.sample

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Bundle
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.EditText
import android.widget.TextView
import java.io.File
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController

/** A phone with the app on it, and a user who looks and taps. */
class Phone(saved: Bundle? = null) : AutoCloseable {
    private var controller: ActivityController<MainActivity> = Robolectric.buildActivity(MainActivity::class.java).run { if (saved == null) setup() else setup(saved) }

    val activity: Activity get() = controller.get()

    private val ActivityController<MainActivity>.root: View get() = get().window.decorView

    /** What can be read, from top to bottom. */
    val texts: List<String>
        get() = controller.root.all().filterIsInstance<TextView>().filter { it.isShown && it.text.isNotEmpty() }.map { it.text.toString() }.toList()

    fun text(id: Int): String = RuntimeEnvironment.getApplication().getString(id)

    /** Waits until something can be read; real servers take real time. */
    fun until(what: String): String = waitFor(what) { texts.firstOrNull { what in it } }

    fun until(id: Int): String = until(text(id))

    fun type(id: Int, text: String) = controller.root.part<EditText>(id).setText(text)

    /** What a view says. */
    fun textOf(id: Int): String = controller.root.part<TextView>(id).text.toString()

    fun tap(what: String) {
        val button = waitFor(what) { buttons().firstOrNull { it.text.toString() == what && it.isEnabled } }
        button.performClick()
        settle()
    }

    fun tap(id: Int) = tap(text(id))

    private fun buttons() = controller.root.all().filterIsInstance<TextView>().filter { it.isShown && it.isClickable }

    /** The screen as a picture. */
    fun picture(name: String) {
        settle()
        val root = controller.root
        val bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        val folder = File(System.getProperty("sample.pictures")!!).apply { mkdirs() }
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    /** What the system keeps of the app when it ends the process. */
    fun saved(): Bundle = Bundle().also { controller.saveInstanceState(it) }

    fun rotate() {
        controller.recreate()
        settle()
    }

    private fun settle() = shadowOf(Looper.getMainLooper()).idle()

    private fun <T> waitFor(what: String, look: () -> T?): T {
        val end = System.nanoTime() + PATIENCE_NANOS
        while (true) {
            settle()
            look()?.let { return it }
            check(System.nanoTime() < end) { "no \"$what\"; there is: $texts" }
            // The library answers on another thread.
            Thread.yield()
        }
    }

    override fun close() {
        controller.pause().stop().destroy()
        settle()
    }

    private companion object {
        const val PATIENCE_NANOS = 30_000_000_000L
    }
}

private fun View.all(): Sequence<View> = sequence {
    yield(this@all)
    if (this@all is ViewGroup) for (index in 0 until childCount) yieldAll(getChildAt(index).all())
}
