# cmake -Dmutation=FILE -Droot=DIR -Doutput=FILE -P mutate.cmake
# Writes a source file with one mistake in it, in one place or in two. What the mistake replaces must be
# there exactly once.
include(${mutation})
file(READ ${root}/${file} source)
foreach(place "" _2)
    if(NOT DEFINED old${place})
        continue()
    endif()
    string(FIND "${source}" "${old${place}}" first)
    string(FIND "${source}" "${old${place}}" last REVERSE)
    if(first EQUAL -1 OR NOT first EQUAL last)
        message(FATAL_ERROR "${mutation}: what it replaces is not in ${file} exactly once")
    endif()
    string(REPLACE "${old${place}}" "${new${place}}" source "${source}")
endforeach()
file(WRITE ${output} "${source}")
