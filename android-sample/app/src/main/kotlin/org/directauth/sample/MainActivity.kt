package org.directauth.sample

import android.annotation.TargetApi
import android.app.Activity
import android.os.Build
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import android.view.WindowManager
import android.widget.FrameLayout
import android.widget.TextView
import android.window.OnBackInvokedDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import org.directauth.PasskeyCeremony
import org.directauth.android.SystemPasskeys

/** The one window: it shows what the model says, and tells the model what the user does. Everything else is in the model. */
class MainActivity : Activity() {
    private val model: AppModel by lazy { SampleApp.modelOf(this) }
    private var scope: CoroutineScope? = null
    private var face: Face? = null
    private var passkeys: PasskeyCeremony? = null

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        hideFromSwitcher()
        setContentView(R.layout.main)
        keepClearOfBars(window.decorView.part(R.id.root))
        passkeys = if (SystemPasskeys.isSupported) SystemPasskeys(this) else null
        model.passkeys = passkeys
        model.start(wasInterrupted = saved?.getBoolean(SIGNING_IN) == true)
        // At once, so that what the system has kept of the views finds them.
        show(model.shown.value)
        scope = MainScope().also { it.launch { model.shown.collect(::show) } }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) listenForBack()
    }

    override fun onDestroy() {
        scope?.cancel()
        // It holds the window; another one may have its own by now.
        if (model.passkeys === passkeys) model.passkeys = null
        super.onDestroy()
    }

    /** That a sign-in was under way, and nothing of it: neither what was typed nor what the server gave. */
    override fun onSaveInstanceState(out: Bundle) {
        super.onSaveInstanceState(out)
        out.putBoolean(SIGNING_IN, model.isSigningIn)
    }

    @Deprecated("for systems before Android 13")
    override fun onBackPressed() = back()

    @TargetApi(Build.VERSION_CODES.TIRAMISU)
    private fun listenForBack() = onBackInvokedDispatcher.registerOnBackInvokedCallback(OnBackInvokedDispatcher.PRIORITY_DEFAULT, ::back)

    private fun back() {
        if (model.canGoBack) model.back() else finish()
    }

    private fun show(shown: Shown) {
        val frame = window.decorView
        val place = frame.part<FrameLayout>(R.id.screen)
        // The same kind of screen keeps its views, and what the user has typed into them.
        val known = face?.takeIf { it.kind == shown.screen::class }
        val now = known ?: faceOf(shown.screen, model, place).also {
            place.removeAllViews()
            place.addView(it.view)
            face = it
        }
        now.show(shown)
        if (known == null && Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) name(now)
        // A new screen, and what went wrong, are at the top.
        if (known == null || shown.problem != null) frame.part<View>(R.id.root).scrollTo(0, 0)
        val problem = frame.part<TextView>(R.id.problem)
        problem.text = shown.problem?.let { words(it) }
        problem.visibility = if (shown.problem == null) View.GONE else View.VISIBLE
        frame.part<View>(R.id.busy).visibility = if (shown.isBusy) View.VISIBLE else View.INVISIBLE
    }

    /** A screen reader says that there is another screen, and which. */
    @TargetApi(Build.VERSION_CODES.P)
    private fun name(face: Face) {
        face.view.accessibilityPaneTitle = face.view.part<TextView>(R.id.title).text
    }

    /** What is on the screen is nobody's business in the list of recent apps. */
    private fun hideFromSwitcher() {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            hideRecentsScreenshot()
        } else {
            window.addFlags(WindowManager.LayoutParams.FLAG_SECURE)
        }
    }

    @TargetApi(Build.VERSION_CODES.TIRAMISU)
    private fun hideRecentsScreenshot() = setRecentsScreenshotEnabled(false)

    /** From Android 15 on windows reach under the system's bars, and the keyboard. */
    private fun keepClearOfBars(root: ViewGroup) {
        root.setOnApplyWindowInsetsListener { view, insets ->
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) pad(view, insets)
            insets
        }
    }

    @TargetApi(Build.VERSION_CODES.R)
    private fun pad(view: View, insets: WindowInsets) {
        val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.ime() or WindowInsets.Type.displayCutout())
        view.setPadding(bars.left, bars.top, bars.right, bars.bottom)
    }

    private companion object {
        const val SIGNING_IN = "signing_in"
    }
}
