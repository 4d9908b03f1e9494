cdef enum:
    # Families, ways of splitting, rules: as in `engine._fast.forms`.
    SEPTETS = 0
    OCTETS = 1
    UTF16 = 2
    UDH8 = 0
    UDH16 = 1
    SAR = 2
    PAYLOAD = 3
    RULE_UCS2 = 0
    RULE_TRANSLITERATE = 1
    RULE_REJECT = 2

    OUT_OF_MEMORY = -3  # of `compose`; the same as `text.NO_MEMORY`


cdef struct FormView:
    int family
    unsigned short** pages  # by code point >> 8; NULL for UTF-16
    unsigned char data_coding
    bint packed
    bint as_septets
    unsigned char[8] elements
    Py_ssize_t elements_length
    Py_ssize_t single
    Py_ssize_t several


cdef struct Writing:
    # One message while it is written; the memory is reused from row to row, `done` frees it.
    unsigned int* characters
    Py_ssize_t count
    Py_ssize_t characters_room
    unsigned int* replaced
    Py_ssize_t replaced_room
    unsigned char* octets
    Py_ssize_t length
    Py_ssize_t octets_room
    unsigned char* trial
    Py_ssize_t trial_room
    int form
    Py_ssize_t parts  # -1: no form carries the text
    bint transliterated


cdef class Repertoire:
    cdef readonly tuple forms
    cdef readonly int rule
    cdef readonly int splitting
    cdef FormView* views
    cdef int form_count
    cdef unsigned short** replacements  # by code point >> 8: 1 + the number of its replacement
    cdef Py_ssize_t* replacement_end
    cdef unsigned int* replacement_pool
    cdef int _compile(self, FormView* view, object form) except -1
    cdef int _compile_transliteration(self, dict table) except -1
    cdef int compose(self, const unsigned char* utf8, Py_ssize_t length, Writing* writing) noexcept nogil
    cdef int _replace(self, Writing* writing, Py_ssize_t* count) noexcept nogil
    cdef int _cheapest(
        self, const unsigned int* characters, Py_ssize_t count, bint utf16_too, Writing* writing
    ) noexcept nogil


cdef void done(Writing* writing) noexcept nogil
cdef Py_ssize_t piece_end(
    const FormView* form, const unsigned char* octets, Py_ssize_t length, Py_ssize_t start, int splitting
) noexcept nogil
cdef Py_ssize_t header_octets(const FormView* form, int splitting, Py_ssize_t parts) noexcept nogil
cdef Py_ssize_t put_header(
    const FormView* form, int splitting, unsigned int reference, Py_ssize_t parts, Py_ssize_t part,
    unsigned char* out,
) noexcept nogil
cdef Py_ssize_t pack_septets(
    const unsigned char* septets, Py_ssize_t count, Py_ssize_t header, unsigned char* out
) noexcept nogil
