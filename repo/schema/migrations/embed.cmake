# cmake -DOUTPUT=FILE.c -DMIGRATIONS=a.sql,b.sql -P embed.cmake
# Writes the migrations as C arrays: texts longer than 4095 bytes are no portable string literals.
set(rows "")
set(arrays "")
string(REPLACE "," ";" files "${MIGRATIONS}")
foreach(file IN LISTS files)
    get_filename_component(name ${file} NAME_WE)
    if(NOT name MATCHES "^([0-9][0-9][0-9][0-9])_[a-z0-9_]+$")
        message(FATAL_ERROR "${file}: migrations are called NNNN_<what>.sql")
    endif()
    string(REGEX REPLACE "^0+" "" number ${CMAKE_MATCH_1})
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
           "\\1\n    " bytes "${bytes}")
    string(APPEND arrays "static const char sql_${number}[] = {\n    ${bytes}\n};\n\n")
    string(APPEND rows "    {${number}, \"${name}\", {sql_${number}, sizeof(sql_${number})}},\n")
    list(LENGTH files count)
endforeach()
file(WRITE ${OUTPUT} "/* Made by repo/schema/migrations/embed.cmake. */
#include \"repo/schema/migrations/embedded.h\"

${arrays}const struct migration migrations[] = {
${rows}};

const size_t migration_count = ${count};
")
