"""Messages in the cheapest of a channel's forms, in C. The twin in `pure` says what each means."""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from engine._fast.utf8 cimport next_character

from engine._fast import forms as plain
from engine._fast.alphabet import GSM

cdef enum:
    KNOWN = 0x100  # the character is in the table; its octet is the low byte
    ESCAPED = 0x200  # after an escape
    ESCAPE = 0x1B
    CR = 0x0D
    PAGES = 256

assert (SEPTETS, OCTETS, UTF16) == (plain.SEPTETS, plain.OCTETS, plain.UTF16)
assert (UDH8, UDH16, SAR, PAYLOAD) == (plain.UDH8, plain.UDH16, plain.SAR, plain.PAYLOAD)
assert (RULE_UCS2, RULE_TRANSLITERATE, RULE_REJECT) == (
    plain.RULE_UCS2, plain.RULE_TRANSLITERATE, plain.RULE_REJECT
)

cdef unsigned char[256] SEPTETS_OF  # what a Latin-1 octet takes once the SMSC has turned it into GSM
cdef int _code
for _code in range(256):
    SEPTETS_OF[_code] = len(GSM.get(chr(_code), b" "))


cdef unsigned short* _page(unsigned short** pages, unsigned int character) except NULL:
    """Where the value of a character below 0x10000 stands; makes the page."""
    if pages[character >> 8] == NULL:
        pages[character >> 8] = <unsigned short*>calloc(256, sizeof(unsigned short))
        if pages[character >> 8] == NULL:
            raise MemoryError()
    return &pages[character >> 8][character & 0xFF]


cdef inline unsigned short _looked_up(unsigned short** pages, unsigned int character) noexcept nogil:
    if character > 0xFFFF or pages[character >> 8] == NULL:
        return 0
    return pages[character >> 8][character & 0xFF]


cdef void _free_pages(unsigned short** pages) noexcept:
    cdef int i
    if pages != NULL:
        for i in range(PAGES):
            free(pages[i])
        free(pages)


cdef class Repertoire:
    def __init__(self, forms, *, int rule=RULE_UCS2, int splitting=UDH8, transliteration=None):
        if self.views != NULL:
            raise RuntimeError("a repertoire is compiled once")
        utf16 = sum(form.family == UTF16 for form in forms)
        if not RULE_UCS2 <= rule <= RULE_REJECT:
            raise ValueError("an unknown rule for characters outside")
        if not forms or forms[0].family == UTF16 or utf16 != (rule != RULE_REJECT):
            raise ValueError("an alphabet comes first, then UTF-16 once, or not at all where it is rejected")
        self.forms = tuple(forms)
        self.rule = rule
        self.splitting = splitting
        self.views = <FormView*>calloc(len(self.forms), sizeof(FormView))
        if self.views == NULL:
            raise MemoryError()
        for form in self.forms:
            self.form_count += 1
            self._compile(&self.views[self.form_count - 1], form)
        self._compile_transliteration(dict(transliteration or {}))

    cdef int _compile(self, FormView* view, object form) except -1:
        cdef bytes elements = form.elements
        view.family = form.family
        view.data_coding = form.data_coding
        view.packed = form.packed
        view.as_septets = form.as_septets
        view.elements_length = len(elements)
        if view.elements_length > 8:
            raise ValueError("a form has at most 8 octets of elements")
        memcpy(view.elements, <const char*>elements, view.elements_length)
        view.single = form.single
        view.several = form.several(self.splitting)
        if form.table is None:
            return 0
        view.pages = <unsigned short**>calloc(PAGES, sizeof(void*))
        if view.pages == NULL:
            raise MemoryError()
        for character, octets in form.table.items():
            escaped = ESCAPED if len(octets) == 2 else 0
            _page(view.pages, ord(character))[0] = KNOWN | escaped | <int>octets[len(octets) - 1]
        return 0

    cdef int _compile_transliteration(self, dict table) except -1:
        cdef Py_ssize_t number = 0
        cdef Py_ssize_t used = 0
        characters = sum(len(text) for text in table.values())
        self.replacements = <unsigned short**>calloc(PAGES, sizeof(void*))
        self.replacement_end = <Py_ssize_t*>calloc(len(table) + 1, sizeof(Py_ssize_t))
        self.replacement_pool = <unsigned int*>calloc(characters + 1, sizeof(unsigned int))
        if self.replacements == NULL or self.replacement_end == NULL or self.replacement_pool == NULL:
            raise MemoryError()
        for character, text in table.items():
            if ord(character) > 0xFFFF:
                raise ValueError("only characters of the basic plane are transliterated")
            number += 1
            _page(self.replacements, ord(character))[0] = <unsigned short>number
            for replacement in text:
                self.replacement_pool[used] = ord(replacement)
                used += 1
            self.replacement_end[number] = used
        return 0

    def __dealloc__(self):
        cdef int i
        for i in range(self.form_count):
            _free_pages(self.views[i].pages)
        free(self.views)
        _free_pages(self.replacements)
        free(self.replacement_end)
        free(self.replacement_pool)

    def write(self, str text not None):
        cdef bytes utf8 = text.encode()
        cdef const unsigned char* octets = utf8
        cdef Py_ssize_t length = len(utf8)
        cdef Writing writing
        cdef const FormView* view
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t stop
        _begin(&writing)
        try:
            if self.compose(octets, length, &writing) < 0:
                raise MemoryError()
            if writing.parts < 0:
                return None
            view = &self.views[writing.form]
            pieces = []
            while start < writing.length:
                stop = writing.length
                if writing.parts > 1:
                    stop = piece_end(view, writing.octets, writing.length, start, self.splitting)
                pieces.append(writing.octets[start:stop])
                start = stop
            return plain.Written(self.forms[writing.form], tuple(pieces), bool(writing.transliterated))
        finally:
            done(&writing)

    cdef int compose(self, const unsigned char* utf8, Py_ssize_t length, Writing* writing) noexcept nogil:
        """Writes a text into `octets`, in the form and of the parts it says; 0 or OUT_OF_MEMORY."""
        cdef Py_ssize_t i = 0
        cdef Py_ssize_t count = 0
        cdef unsigned int* larger
        if length + 1 > writing.characters_room:
            larger = <unsigned int*>realloc(writing.characters, 2 * (length + 1) * sizeof(unsigned int))
            if larger == NULL:
                return OUT_OF_MEMORY
            writing.characters = larger
            writing.characters_room = 2 * (length + 1)
        while i < length:
            i += next_character(utf8 + i, length - i, &writing.characters[count])
            count += 1
        writing.count = count
        writing.parts = -1
        writing.transliterated = False
        if self._cheapest(writing.characters, count, self.rule != RULE_TRANSLITERATE, writing) < 0:
            return OUT_OF_MEMORY
        if writing.parts >= 0 or self.rule != RULE_TRANSLITERATE:
            return 0
        if self._replace(writing, &count) < 0:
            return OUT_OF_MEMORY
        if self._cheapest(writing.replaced, count, False, writing) < 0:
            return OUT_OF_MEMORY
        writing.transliterated = writing.parts >= 0
        if writing.parts >= 0:
            return 0
        return self._cheapest(writing.characters, writing.count, True, writing)

    cdef int _replace(self, Writing* writing, Py_ssize_t* count) noexcept nogil:
        """Fills `replaced` with the text transliterated."""
        cdef Py_ssize_t i, first, length
        cdef Py_ssize_t used = 0
        cdef unsigned int character
        cdef unsigned short number
        cdef unsigned int* larger
        for i in range(writing.count):
            character = writing.characters[i]
            number = 0
            length = 1
            if not _looked_up(self.views[0].pages, character):
                number = _looked_up(self.replacements, character)
            if number:
                first = self.replacement_end[number - 1]
                length = self.replacement_end[number] - first
            if used + length > writing.replaced_room:
                larger = <unsigned int*>realloc(
                    writing.replaced, 2 * (used + length + writing.count) * sizeof(unsigned int)
                )
                if larger == NULL:
                    return OUT_OF_MEMORY
                writing.replaced = larger
                writing.replaced_room = 2 * (used + length + writing.count)
            if number:
                memcpy(writing.replaced + used, self.replacement_pool + first, length * sizeof(unsigned int))
            else:
                writing.replaced[used] = character
            used += length
        count[0] = used
        return 0

    cdef int _cheapest(
        self, const unsigned int* characters, Py_ssize_t count, bint utf16_too, Writing* writing
    ) noexcept nogil:
        cdef int i
        cdef Py_ssize_t length, parts
        cdef const FormView* view
        cdef unsigned char* octets
        cdef Py_ssize_t room
        for i in range(self.form_count):
            view = &self.views[i]
            if view.family == UTF16 and not utf16_too:
                continue
            if 4 * count + 1 > writing.trial_room:  # two octets a character, UTF-16 four
                octets = <unsigned char*>realloc(writing.trial, 8 * count + 1)
                if octets == NULL:
                    return OUT_OF_MEMORY
                writing.trial = octets
                writing.trial_room = 8 * count + 1
            length = _octets_in(view, characters, count, writing.trial)
            if length < 0:
                continue
            parts = _count_parts(view, writing.trial, length, self.splitting)
            if parts < 0 or (writing.parts >= 0 and parts >= writing.parts):
                continue
            octets, writing.octets = writing.octets, writing.trial
            room, writing.octets_room = writing.octets_room, writing.trial_room
            writing.trial, writing.trial_room = octets, room
            writing.length = length
            writing.parts = parts
            writing.form = i
            if parts < 2:
                break
        return 0


cdef void _begin(Writing* writing) noexcept nogil:
    writing.characters = writing.replaced = NULL
    writing.octets = writing.trial = NULL
    writing.characters_room = writing.replaced_room = writing.octets_room = writing.trial_room = 0
    writing.count = writing.length = 0


cdef void done(Writing* writing) noexcept nogil:
    free(writing.characters)
    free(writing.replaced)
    free(writing.octets)
    free(writing.trial)
    _begin(writing)


cdef Py_ssize_t _octets_in(
    const FormView* form, const unsigned int* characters, Py_ssize_t count, unsigned char* out
) noexcept nogil:
    """Writes the text in the form's alphabet, a septet an octet; -1 if a character is outside it."""
    cdef Py_ssize_t i
    cdef Py_ssize_t used = 0
    cdef unsigned int character, high
    cdef unsigned short value
    if form.family == UTF16:
        for i in range(count):
            character = characters[i]
            if character >= 0x10000:
                high = 0xD800 | (character - 0x10000) >> 10
                out[used] = high >> 8
                out[used + 1] = high & 0xFF
                used += 2
                character = 0xDC00 | (character & 0x3FF)
            out[used] = character >> 8
            out[used + 1] = character & 0xFF
            used += 2
        return used
    for i in range(count):
        value = _looked_up(form.pages, characters[i])
        if value == 0:
            return -1
        if value & ESCAPED:
            out[used] = ESCAPE
            used += 1
        out[used] = value & 0xFF
        used += 1
    return used


cdef Py_ssize_t _count_parts(
    const FormView* form, const unsigned char* octets, Py_ssize_t length, int splitting
) noexcept nogil:
    """-1 if the text needs several parts and the form cannot have them."""
    cdef Py_ssize_t cost = length
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t parts = 0
    cdef Py_ssize_t i
    if form.as_septets:
        cost = 0
        for i in range(length):
            cost += SEPTETS_OF[octets[i]]
    if cost <= form.single:
        return 1 if length else 0
    if form.several == 0:
        return -1
    while start < length:
        start = piece_end(form, octets, length, start, splitting)
        parts += 1
    return parts


cdef Py_ssize_t piece_end(
    const FormView* form, const unsigned char* octets, Py_ssize_t length, Py_ssize_t start, int splitting
) noexcept nogil:
    """Where the part of a multi-part message that begins at `start` ends."""
    cdef Py_ssize_t stop = start
    cdef Py_ssize_t cost = 0
    cdef Py_ssize_t head, fill
    if form.as_septets:
        while stop < length and cost + SEPTETS_OF[octets[stop]] <= form.several:
            cost += SEPTETS_OF[octets[stop]]
            stop += 1
        return stop
    stop = start + form.several
    if stop >= length:
        return length
    if form.family == UTF16:
        return stop - 2 * (octets[stop - 2] & 0xFC == 0xD8)
    if form.family == SEPTETS:
        head = 8 * header_octets(form, splitting, 2)
        fill = (7 - head % 7) % 7
        while octets[stop - 1] == ESCAPE or (form.packed and (fill + 7 * (stop - start)) % 8 == 1):
            stop -= 1
    return stop


cdef Py_ssize_t header_octets(const FormView* form, int splitting, Py_ssize_t parts) noexcept nogil:
    cdef Py_ssize_t concatenation = 0
    if parts > 1:
        concatenation = 5 if splitting == UDH8 else 6 if splitting == UDH16 else 0
    if concatenation == 0 and form.elements_length == 0:
        return 0
    return 1 + form.elements_length + concatenation


cdef Py_ssize_t put_header(
    const FormView* form, int splitting, unsigned int reference, Py_ssize_t parts, Py_ssize_t part,
    unsigned char* out,
) noexcept nogil:
    """Writes a part's user data header, if it has one; its octets."""
    cdef Py_ssize_t length = header_octets(form, splitting, parts)
    cdef unsigned char* at = out + 1
    if length == 0:
        return 0
    out[0] = <unsigned char>(length - 1)
    if parts > 1 and splitting == UDH8:
        at[0] = 0
        at[1] = 3
        at[2] = reference & 0xFF
        at += 3
    elif parts > 1 and splitting == UDH16:
        at[0] = 8
        at[1] = 4
        at[2] = reference >> 8 & 0xFF
        at[3] = reference & 0xFF
        at += 4
    if parts > 1 and splitting <= UDH16:
        at[0] = <unsigned char>parts
        at[1] = <unsigned char>part
        at += 2
    memcpy(at, form.elements, form.elements_length)
    return length


cdef Py_ssize_t pack_septets(
    const unsigned char* septets, Py_ssize_t count, Py_ssize_t header, unsigned char* out
) noexcept nogil:
    """Writes septets as 7 bits each after the fill bits of a header of so many octets; the octets."""
    cdef Py_ssize_t fill = (7 - 8 * header % 7) % 7
    cdef bint filler = (fill + 7 * count) % 8 == 1
    cdef unsigned int bits = 0
    cdef Py_ssize_t held = fill
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t i
    for i in range(count + filler):
        bits |= <unsigned int>(septets[i] if i < count else CR) << held
        held += 7
        while held >= 8:
            out[used] = bits & 0xFF
            used += 1
            bits >>= 8
            held -= 8
    if held:
        out[used] = bits & 0xFF
        used += 1
    return used


def pack(bytes septets not None, Py_ssize_t header):
    cdef bytearray out = bytearray(len(septets) + 2)
    cdef Py_ssize_t length = pack_septets(septets, len(septets), header, out)
    return bytes(out[:length])
