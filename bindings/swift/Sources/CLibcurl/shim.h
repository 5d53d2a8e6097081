// What DirectAuthTesting needs of libcurl, on which Foundation's own URLSession is built on Linux. Swift cannot call functions with
// a variable number of arguments.

#pragma once

#include <curl/curl.h>

static inline CURLcode shim_set_text(CURL *handle, CURLoption option, const char *text) {
    return curl_easy_setopt(handle, option, text);
}

static inline CURLcode shim_set_number(CURL *handle, CURLoption option, long number) {
    return curl_easy_setopt(handle, option, number);
}

static inline CURLcode shim_set_pointer(CURL *handle, CURLoption option, void *pointer) {
    return curl_easy_setopt(handle, option, pointer);
}

/// The certificate authorities to trust, as PEM; copied. No others are trusted then.
static inline CURLcode shim_set_authorities(CURL *handle, const void *pem, size_t length) {
    struct curl_blob blob = {(void *)pem, length, CURL_BLOB_COPY};
    CURLcode code = curl_easy_setopt(handle, CURLOPT_CAINFO_BLOB, &blob);
    return code == CURLE_OK ? curl_easy_setopt(handle, CURLOPT_CAPATH, (char *)0) : code;
}

typedef size_t (*shim_receiver)(char *bytes, size_t size, size_t count, void *context);

static inline CURLcode shim_set_body_receiver(CURL *handle, shim_receiver receiver, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receiver);
    return code == CURLE_OK ? curl_easy_setopt(handle, CURLOPT_WRITEDATA, context) : code;
}

static inline CURLcode shim_set_header_receiver(CURL *handle, shim_receiver receiver, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, receiver);
    return code == CURLE_OK ? curl_easy_setopt(handle, CURLOPT_HEADERDATA, context) : code;
}

static inline CURLcode shim_status(CURL *handle, long *status) {
    return curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, status);
}
